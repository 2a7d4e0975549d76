"""A real server on a package: started, asked for everything, watched, stopped."""

import threading
from pathlib import Path

import psutil

from airlock.deployment.child import PACKAGE, RELEASE, Child
from airlock.deployment.contract import Contract
from airlock.deployment.package import Package
from airlock.deployment.report import Check
from airlock.deployment.server import verified_package
from airlock.errors import AirlockError

START_SECONDS = 120.0
LOOK = 0.05  # seconds between two looks at the server's memory


class Memory:
    """Watches how much memory a process holds, and kills it beyond a limit, before it takes the machine's.

    :param limit: bytes, resident.
    """

    def __init__(self, pid: int, limit: int) -> None:
        self.most = 0
        self.limit = limit
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self._thread.start()

    @property
    def exceeded(self) -> bool:
        """Was it killed, or about to be?"""
        return self.most > self.limit

    def stop(self) -> None:
        """Look once more, and no longer."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            while not self._ended.is_set() and not self.exceeded:
                self.most = max(self.most, self._process.memory_info().rss)
                self._ended.wait(LOOK)
            if self.exceeded:
                self._process.kill()
        except psutil.NoSuchProcess:
            return


class Trial:
    """One server's life.

    :param folder: see :func:`airlock.deployment.checking.check_package`.
    """

    def __init__(self, package: Package, manifest: str, folder: Path) -> None:
        self.package = package
        self.limits = package.config.limits
        self.manifest = manifest
        self.folder = folder
        self.start_seconds = 0.0
        self.resident_bytes = 0
        self.slowest_seconds = 0.0

    def run(self) -> list[Check]:
        """Return what was found."""
        try:
            verified_package(self.folder / PACKAGE, self.manifest, self.folder / RELEASE)
        except AirlockError as error:
            return [_failed("server", "the package is the released one", error)]
        child = Child(self.folder, self.manifest, self.package.config.name, self.folder / "server.log")
        memory = Memory(child.pid, self.limits.memory_bytes)
        try:
            checks = self._ask(child)
        finally:
            memory.stop()
            child.stop()
        self.resident_bytes = memory.most
        return [*checks, self._memory(memory)]

    def _ask(self, child: Child) -> list[Check]:
        try:
            self.start_seconds = round(child.wait_ready(START_SECONDS), 3)
        except AirlockError as error:
            return [_failed("server", "the server starts", error)]
        contract = Contract(child.url, self.package, self.manifest)
        started = Check(group="server", name="the server starts", passed=True, detail=f"{self.start_seconds:.1f} s")
        checks = [started, *contract.run()]
        self.slowest_seconds = contract.slowest
        return [*checks, self._time()]

    def _time(self) -> Check:
        return Check(
            group="time",
            name="answer time",
            passed=self.slowest_seconds <= self.limits.seconds,
            detail=f"{self.slowest_seconds:.3f} s at most, limits.seconds allows {self.limits.seconds:g}",
            hint="Compress the model, or raise limits.seconds.",
        )

    def _memory(self, memory: Memory) -> Check:
        held, limit = memory.most / 2**20, self.limits.memory_bytes / 2**20
        return Check(
            group="memory",
            name="resident memory",
            passed=not memory.exceeded,
            detail=f"{held:.0f} MiB{' and more' if memory.exceeded else ''}, limits.memory_bytes allows {limit:.0f}",
            hint="Use a smaller model, or raise limits.memory_bytes.",
        )


def _failed(group: str, name: str, error: AirlockError) -> Check:
    return Check(group=group, name=name, passed=False, detail=error.message, hint=error.hint)
