"""What ``airlock up`` is doing and for how long: one line a phase, and a sign of life while it waits."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

Say = Callable[[str], None]
EVERY = 5.0


class Phase(msgspec.Struct, frozen=True):
    """One phase that ended.

    :param seconds: wall-clock time; phases may overlap.
    """

    name: str
    seconds: float


class Phases:
    """Collects and prints the phases of one start.

    :param say: prints one line.
    :param every: seconds between two signs of life.
    """

    def __init__(self, say: Say, every: float = EVERY) -> None:
        self.say = say
        self.every = every
        self.done: list[Phase] = []
        self.started = time.monotonic()
        self._spoke = self.started

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block."""
        began = time.monotonic()
        yield
        self.ended(name, time.monotonic() - began)

    def ended(self, name: str, seconds: float) -> None:
        """Record and print a phase that was timed elsewhere."""
        self.done.append(Phase(name, round(seconds, 2)))
        self._speak(f"  {name:<20} {seconds:6.1f} s")

    def waiting(self, names: list[str]) -> None:
        """Give a sign of life, at most once in ``every`` seconds."""
        if time.monotonic() - self._spoke >= self.every:
            self._speak(f"  … waiting for {', '.join(names)} ({self.total:.0f} s)")

    @property
    def total(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def _speak(self, line: str) -> None:
        self._spoke = time.monotonic()
        self.say(line)
