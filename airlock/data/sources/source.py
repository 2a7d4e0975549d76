"""What a source of samples is. A new kind is one file here and one name in ``AnySource``."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from airlock.data.download import Report
from airlock.data.samples import Sample


class Samples(Protocol):
    """An opened source: samples by number, in an order that is the same every time."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


class Source(Protocol):
    """Where samples are, as a use case declares it: a frozen struct whose tag is its kind."""

    def open(self, workdir: Path, report: Report) -> AbstractContextManager[Samples]:
        """Make the samples readable, downloading into ``workdir`` what is not on this machine.

        :param report: called with (done, total or 0, unit).
        :raises SourceError: the source is missing, damaged or not what its kind says.
        :raises InfrastructureError: its server does not answer.
        """

    def fingerprint(self) -> str:
        """Return what changes when the source does, cheaply: the cache's way to see new data behind an old address."""
