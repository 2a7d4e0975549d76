"""One server process: started in a group of its own, asked whether it is ready, stopped without a trace."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from airlock.deployment.client import ModelClient
from airlock.errors import InfrastructureError, ResourceError, UserError

PACKAGE, RELEASE = "package", "release.json"  # in the folder a server is started on
TAIL = 4096  # bytes at the end of the log in which an exit is explained


class Child:
    """A running ``airlock.deployment.server``.

    :param folder: holds :data:`PACKAGE` and :data:`RELEASE`.
    :param manifest: digest of the release manifest it must serve.
    :param prefix: the path under which a gateway shows it.
    :param log: file that takes its output.
    :param arguments: further ones of the server's command line: ``--spool``, ``--options``.
    """

    def __init__(self, folder: Path, manifest: str, prefix: str, log: Path, arguments: Sequence[str] = ()) -> None:
        self.manifest = manifest
        self.log = log
        self.started = time.monotonic()
        self._log_start = log.stat().st_size if log.exists() else 0
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = self._start(folder, prefix, arguments)
        self._client = ModelClient(self.url, timeout=2.0)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started

    def alive(self) -> bool:
        """Has it not ended?"""
        return self._process.poll() is None

    def ready(self) -> bool:
        """Does it answer that it is ready, and is what it serves the manifest it was started for?"""
        return self._client.manifest() == self.manifest

    def wait_ready(self, seconds: float) -> float:
        """Wait until it is ready; return how long that took since its start.

        :raises UserError: it ended, and its log says why.
        :raises ResourceError: it is too slow.
        """
        while not self.ready():
            if not self.alive():
                raise UserError(f"The server ended: {self.obituary()}", hint="Correct the package.")
            if self.age > seconds:
                raise ResourceError(f"The server was not ready after {seconds:.0f} s.", hint="Use a smaller model.")
            time.sleep(0.1)
        return self.age

    def obituary(self) -> str:
        """Say how it ended, with the end of its log."""
        status = self._process.poll()
        how = f"killed by {signal.Signals(-status).name}" if status and status < 0 else f"exit status {status}"
        return f"{how}; {_last_words(self.log, self._log_start)}"

    def stop(self, seconds: float = 8.0) -> None:
        """End the whole process group: ask, wait, insist."""
        self._client.http.close()
        for sent in (signal.SIGTERM, signal.SIGKILL):
            _signal_group(self._process.pid, sent)
            try:
                self._process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        _signal_group(self._process.pid, signal.SIGKILL)
        if self._process.stdin:
            self._process.stdin.close()

    def _start(self, folder: Path, prefix: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "airlock.deployment.server", "--package", str(folder / PACKAGE),
                   "--release", str(folder / RELEASE),
                   "--manifest", self.manifest, "--port", str(self.port), "--root-path", f"/{prefix}",
                   "--with-parent", *arguments]  # fmt: skip
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            try:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,  # never written: its end tells the server that we are gone
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=_environment(),
                )
            except OSError as error:
                raise InfrastructureError(f"The server cannot be started: {error}.", hint="Free memory.") from error


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _last_words(log: Path, start: int) -> str:
    """Return the last error a server logged, else its last line; ``start`` is where its part of the log begins."""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - TAIL))
        lines = file.read().decode(errors="replace").splitlines()
    errors = [line for line in lines if " ERROR " in line] or lines
    return errors[-1] if errors else "its log is empty"


def _environment() -> dict[str, str]:
    # The use case's code runs in there: it gets no password and no address of a store.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRLOCK_", "AIRFLOW_", "AWS_"))}
    return kept | {"PYTHONUNBUFFERED": "1"}


def _signal_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return
