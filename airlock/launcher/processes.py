"""One service's operating-system processes: start, find, stop.

A service is a session of its own. Its leader is known by a pid file that holds pid *and* start time, so that
a recycled pid is never taken for it. Everything it forked is known by a mark in the environment, which also
finds workers whose leader was killed and children that made sessions of their own.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
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


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """What a forked service becomes.

    :param arguments: of its command, after the program's name.
    :param environment: complete, with the mark.
    """

    arguments: list[str]
    environment: dict[str, str]
    cwd: str
    log: str
    pid_file: str


class ServiceProcess:
    """The processes of one service.

    :param name: name of the service; its log is ``<logs>/<name>.log``, its pid file ``<run>/<name>.pid``.
    :param family: for a service that is forked from another process, the mark of that process: the system shows
        it as the mark of all its forks, and only the session tells them apart.
    """

    def __init__(self, name: str, *, run: Path, logs: Path, family: str = "") -> None:
        self.name = name
        self.pid_file = run / f"{name}.pid"
        self.log = logs / f"{name}.log"
        self.mark = str(self.pid_file)
        self.family = family

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], cwd: Path, standard_input: bytes = b""
    ) -> None:
        """Start the service detached, with its output appended to its log."""
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                command,
                env={**environment, MARK: self.mark},
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _children[child.pid] = child
        record(self.pid_file, child.pid)
        if child.stdin:
            with suppress(BrokenPipeError), child.stdin:
                child.stdin.write(standard_input)

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path) -> Fork:
        """Return what another process needs to fork this service."""
        return Fork(
            arguments=list(arguments),
            environment={**environment, MARK: self.mark},
            cwd=str(cwd),
            log=str(self.log),
            pid_file=str(self.pid_file),
        )

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
        known = self._known()
        session = known.pid if known else None
        found = {process.pid: process for process in psutil.process_iter() if self._is_marked(process, session)}
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
            _wait_until(lambda: self.leader() is None, grace)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if rest := self.members():
                _send(rest, number)
                _wait_until(lambda: not self.members(), LAST_WORDS)
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

    def _is_marked(self, process: psutil.Process, session: int | None) -> bool:
        try:
            mark = process.environ().get(MARK)
            return mark == self.mark or (mark == self.family and os.getsid(process.pid) == session)
        except (psutil.Error, OSError):
            return False


def record(pid_file: Path | str, pid: int) -> None:
    """Write a pid file for a child: a zombie until it is waited for, so it is there even when it died at once."""
    Path(pid_file).write_bytes(msgspec.json.encode(PidFile(pid, psutil.Process(pid).create_time())))


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(POLL)


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
