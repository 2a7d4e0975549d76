"""One service's operating-system processes: start, find, stop.

A service is a session of its own. Its leader is known by a pid file that holds pid *and* start time, so that
a recycled pid is never taken for it. Everything it forked is known by a mark in the environment, which also
finds workers whose leader was killed and children that made sessions of their own.
"""

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

from airlock.errors import InfrastructureError

MARK = "AIRLOCK_SERVICE"
POLL = 0.05
LAST_WORDS = 1.0
CLOCK_TICK = 0.02

# What this very process started: zombies it has to bury itself (tests, `make demo`); the others are init's.
_children: dict[int, "subprocess.Popen[bytes]"] = {}


class PidFile(msgspec.Struct, frozen=True):
    """Which process was started.

    :param created: its start time in seconds since the epoch, as the system reports it.
    """

    pid: int
    created: float


class ServiceProcess:
    """The processes of one service.

    :param name: name of the service; its log is ``<logs>/<name>.log``, its pid file ``<run>/<name>.pid``.
    """

    def __init__(self, name: str, *, run: Path, logs: Path) -> None:
        self.name = name
        self.pid_file = run / f"{name}.pid"
        self.log = logs / f"{name}.log"
        self.mark = str(self.pid_file)

    def start(self, command: Sequence[str], environment: Mapping[str, str], cwd: Path) -> None:
        """Start the service detached, with its output appended to its log."""
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                command,
                env={**environment, MARK: self.mark},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _children[child.pid] = child
        # A child is a zombie until it is waited for, so its start time can be read even when it died at once.
        self.pid_file.write_bytes(msgspec.json.encode(PidFile(child.pid, psutil.Process(child.pid).create_time())))

    def leader(self) -> psutil.Process | None:
        """Return the process that was started, or ``None`` when it is gone."""
        known = self._known()
        if known is None:
            return None
        try:
            process = psutil.Process(known.pid)
            same = abs(process.create_time() - known.created) < CLOCK_TICK
        except psutil.NoSuchProcess:
            return None
        return process if same and _alive(process) else None

    def members(self) -> list[psutil.Process]:
        """Return every living process of the service."""
        found = {process.pid: process for process in psutil.process_iter() if self._is_marked(process)}
        if leader := self.leader():
            with suppress(psutil.Error):
                found |= {child.pid: child for child in (leader, *leader.children(recursive=True))}
        return [process for process in found.values() if _alive(process)]

    def stop(self, grace: float) -> None:
        """Ask the leader to stop, then ask everybody, then kill: nothing is left when this returns.

        :param grace: seconds the leader has; the rest have one more.
        :raises InfrastructureError: a process survives SIGKILL (it hangs in the kernel).
        """
        if leader := self.leader():
            _send([leader], signal.SIGTERM)
            self._wait_until_gone(grace)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if rest := self.members():
                _send(rest, number)
                self._wait_until_gone(LAST_WORDS)
        if rest := self.members():
            raise InfrastructureError(
                f"{self.name} cannot be stopped: {', '.join(str(process.pid) for process in rest)} survive SIGKILL.",
                hint="They hang in the kernel, mostly on storage; restart the machine if that does not return.",
            )
        self.pid_file.unlink(missing_ok=True)

    def exit_code(self) -> int | None:
        """Return the leader's exit status, ``None`` while it runs or when another process started it."""
        known = self._known()
        child = _children.get(known.pid) if known else None
        return child.poll() if child else None

    def tail(self, lines: int = 20) -> str:
        """Return the end of the log."""
        with suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _known(self) -> PidFile | None:
        try:
            return msgspec.json.decode(self.pid_file.read_bytes(), type=PidFile)
        except (FileNotFoundError, msgspec.MsgspecError):  # cut short by a crash: the marks still find everybody
            return None

    def _wait_until_gone(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.members() and time.monotonic() < deadline:
            time.sleep(POLL)

    def _is_marked(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self.mark
        except (psutil.Error, OSError):
            return False


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # psutil compares the start time first: never a recycled pid
            process.send_signal(number)


def _alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        if process.status() != psutil.STATUS_ZOMBIE:
            return process.is_running()
        if child := _children.get(process.pid):
            child.poll()
    return False
