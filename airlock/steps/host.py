"""A warm process that forks one child per step: ``python -m airlock.steps.host``.

Starting a Python that can read a spec costs 80 ms, most of it imports; a fork of one that has done them costs 5. The
host has imported the contract and nothing else: no Airflow, no TensorFlow, no thread. Each child is in a session of
its own, with the environment and the output the caller handed over, and runs ``airlock.steps`` as ``python -m`` would.
When the caller goes away its child is killed; when the host is away, callers start a Python as they always could.
"""

import gc
import os
import random
import selectors
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from airlock.settings import load_settings, settings
from airlock.steps import lifeline, nothing, runner
from airlock.steps.__main__ import main as run_step
from airlock.stores import artifacts

LONGEST = 1 << 20
BACKLOG = 64
PRELOADED = (nothing, runner, artifacts)


class Order(msgspec.Struct, frozen=True):
    """What a caller asks for; its output goes to the file descriptor sent along.

    :param arguments: of ``python -m airlock.steps``.
    :param environment: the whole of it.
    :param folder: working folder.
    """

    arguments: list[str]
    environment: dict[str, str]
    folder: str


def address(home: str) -> Path:
    """The socket of the host that belongs to a stack."""
    return Path(home) / "run" / "steps.sock"


class Host:
    """Takes orders on a Unix socket (one message an order) and answers with the child's pid, then its exit status."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.chdir(path.parent)  # a path in a socket address is short, a home need not be
        before = os.umask(0o177)  # whoever may order may run code as us: nobody else may
        self.listener.bind(path.name)
        os.umask(before)
        self.listener.listen(BACKLOG)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.loaded = newest_source()

    def serve(self) -> NoReturn:
        """Take orders until killed."""
        while True:
            for key, _ in self.selector.select():
                if key.fd not in self.selector.get_map():
                    continue  # the other end of the same child was dealt with a moment ago
                if key.fileobj is self.listener:
                    self._order()
                elif isinstance(key.fileobj, socket.socket):
                    self._left(key.fileobj, key.data)
                else:
                    self._ended(key.fd, *key.data)

    def _order(self) -> None:
        caller, _ = self.listener.accept()
        try:
            message, descriptors, _, _ = socket.recv_fds(caller, LONGEST, 1)
        except OSError:
            message, descriptors = b"", []
        if not message or len(descriptors) != 1:  # somebody who only looked whether the host is there
            caller.close()
            return
        order = msgspec.json.decode(message, type=Order)
        pid = os.fork()
        if pid == 0:
            self._become(order, descriptors[0])
        os.close(descriptors[0])
        child = os.pidfd_open(pid)
        self.selector.register(child, selectors.EVENT_READ, (pid, caller))
        self.selector.register(caller, selectors.EVENT_READ, pid)
        _tell(caller, pid)

    def _left(self, caller: socket.socket, pid: int) -> None:
        """A caller that says anything, or goes away, no longer wants its child."""
        self.selector.unregister(caller)
        os.killpg(pid, signal.SIGKILL)

    def _ended(self, child: int, pid: int, caller: socket.socket) -> None:
        with suppress(ProcessLookupError):  # before it is reaped its number cannot be somebody else's
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        self.selector.unregister(child)
        os.close(child)
        if caller.fileno() in self.selector.get_map():
            self.selector.unregister(caller)
            _tell(caller, os.waitstatus_to_exitcode(status))
        caller.close()

    def _become(self, order: Order, output: int) -> NoReturn:
        os.setsid()
        os.chdir(order.folder)
        random.seed()  # or every child would draw the same numbers
        for stream in (1, 2):
            os.dup2(output, stream)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.environ.clear()
        os.environ.update(order.environment)
        if newest_source() != self.loaded:  # Airlock was changed under a running stack: run what is there now
            os.execve(sys.executable, [sys.executable, "-m", "airlock.steps", *order.arguments], order.environment)
        settings.cache_clear()
        lifeline.end_when_asked()
        status = 2
        try:
            status = run_step(order.arguments)
        except SystemExit as asked:
            status = asked.code if isinstance(asked.code, int) else status
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


def _tell(caller: socket.socket, number: int) -> None:
    with suppress(OSError):  # a caller that left is noticed by its end of the line
        caller.send(str(number).encode())


def newest_source() -> int:
    """The latest change of a module that is loaded here, in nanoseconds since the epoch."""
    files = [getattr(module, "__file__", None) for name, module in sys.modules.items() if name.startswith("airlock.")]
    return max(os.stat(file).st_mtime_ns for file in files if file)


def main() -> None:
    """Serve the stack that the settings name."""
    host = Host(address(load_settings().home))
    gc.freeze()  # what is shared must not be touched by the children's garbage collectors
    host.serve()


if __name__ == "__main__":
    main()
