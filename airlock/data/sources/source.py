"""What a source of samples is: it lists, fetches and fingerprints. A new kind is one file here, or an entry point."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import msgspec

from airlock.data.download import Report
from airlock.data.samples import Sample


class Item(msgspec.Struct, frozen=True, gc=False):
    """One object of a source that lists objects.

    :param name: its name inside the source, the same every time.
    :param fingerprint: changes when its content does (an ETag; size and date); empty when nobody can tell.
    :param modified: seconds since the epoch, 0 when unknown.
    """

    name: str
    fingerprint: str
    modified: float = 0.0


class Samples(Protocol):
    """An opened source: samples by number, in an order that is the same every time, asked for in ascending order."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


@runtime_checkable
class Listed(Protocol):
    """Samples that are objects of their own, so that one can be told from another before it is fetched.

    :cvar remote: fetching costs a request: worth doing several at a time, and only once.
    """

    remote: ClassVar[bool]

    @property
    def items(self) -> Sequence[Item]:
        """What there is, sample by sample."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


class Source(Protocol):
    """Where samples are, as a use case declares it: a frozen struct whose tag is its kind."""

    def open(self, workdir: Path, report: Report) -> AbstractContextManager[Samples]:
        """Make the samples readable, downloading into ``workdir`` what is not on this machine.

        :param workdir: the same for every try of a task, so that a download goes on where it stopped.
        :param report: called with (done, total or 0, unit).
        :raises SourceError: the source is missing, damaged or not what its kind says.
        :raises InfrastructureError: its server does not answer.
        """

    def fingerprint(self) -> str:
        """Return what changes when the source does, cheaply: the cache's way to see new data behind an old address."""


class Sequential:
    """Samples that can only be read one after the other; asked for in ascending order, each is read once.

    :param count: how many there are.
    :param start: gives them from the first on.
    """

    def __init__(self, count: int, start: Callable[[], Iterator[Sample]]) -> None:
        self.count = count
        self._start = start
        self._samples = start()
        self._next = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if index < self._next:
            self._samples, self._next = self._start(), 0
        sample = next(islice(self._samples, index - self._next, None))
        self._next = index + 1
        return sample
