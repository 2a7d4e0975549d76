"""A step in a process of its own: forked by the stack's warm host where there is one, else a new Python."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Protocol

import msgspec
import psutil

from airlock.steps import lifeline
from airlock.steps.host import Order, address


class StepProcess(Protocol):
    """A running step.

    :param pid: leader of its process group.
    """

    pid: int

    def lines(self) -> Iterator[str]:
        """What it prints, until it has ended or closed its output."""

    def wait(self) -> int:
        """Its exit status; the negative signal number when it was killed. Nothing it started is left then."""


class OwnPython:
    """A step in a new Python, which ends when its caller does."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        reading, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-m", "airlock.steps", *arguments],
                env=environment | {lifeline.VARIABLE: str(reading)},
                pass_fds=(reading,),
                stdin=subprocess.DEVNULL,  # a task's is its line to its supervisor
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        finally:
            os.close(reading)
        self.pid = self._process.pid

    def lines(self) -> Iterator[str]:
        yield from _lines(self._process.stdout)

    def wait(self) -> int:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        end(self, signal.SIGKILL)  # before it is reaped its number cannot be somebody else's
        os.close(self._lifeline)
        return self._process.wait()


class HostedChild:
    """A step forked by the host.

    :raises OSError: there is no host to ask.
    """

    def __init__(self, home: str, arguments: list[str], environment: dict[str, str]) -> None:
        self._host = _connect(home)
        reading, writing = os.pipe()
        try:
            order = msgspec.json.encode(Order(arguments, environment, os.getcwd()))
            socket.send_fds(self._host, [order], [writing])
            self.pid = int(self._host.recv(32))
        except (OSError, ValueError) as error:
            os.close(reading)
            raise ConnectionError("the step host went away") from error
        finally:
            os.close(writing)
        self._output = os.fdopen(reading, "r", errors="replace")

    def lines(self) -> Iterator[str]:
        yield from _lines(self._output)

    def wait(self) -> int:
        answer = self._host.recv(32)
        self._host.close()
        if answer:
            return int(answer)
        end(self, signal.SIGKILL)  # the host died: a child nobody waits for must not go on
        return -signal.SIGKILL


def start_step(home: str, arguments: list[str], environment: dict[str, str]) -> StepProcess:
    """Start ``airlock.steps`` with arguments.

    :param home: state folder of the stack, whose host is asked first.
    """
    try:
        return HostedChild(home, arguments, environment)
    except OSError:
        return OwnPython(arguments, environment)


def end(step: StepProcess, number: int) -> None:
    """Send a signal to a step and everything it started."""
    with suppress(ProcessLookupError):
        os.killpg(step.pid, number)


def has_ended(step: StepProcess) -> bool:
    """Whether the step is over, although something it started may still hold its output open."""
    try:
        return psutil.Process(step.pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def resident(step: StepProcess) -> int:
    """Bytes of memory that a step and everything it started hold."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        leader = psutil.Process(step.pid)
        for process in (leader, *leader.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


def host_answers(home: str) -> bool:
    """Whether a host takes orders."""
    try:
        _connect(home).close()
    except OSError:
        return False
    return True


def _connect(home: str) -> socket.socket:
    folder = os.open(address(home).parent, os.O_PATH | os.O_DIRECTORY)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        link.connect(f"/proc/self/fd/{folder}/{address(home).name}")  # a socket address holds 107 bytes, a home more
    except OSError:
        link.close()
        raise
    finally:
        os.close(folder)
    return link


def _lines(stream: IO[str] | None) -> Iterator[str]:
    if stream is not None:
        with stream:
            for line in stream:
                yield line.rstrip("\n")
