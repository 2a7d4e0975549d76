"""What an ingest has fetched so far, on disk: a killed one leaves every whole record, and the next goes on from there.

A record is the length of its payload, the payload's sha256 and the payload: an item's name and fingerprint, and its
sample. Whatever a kill left of a record at the end is cut off when the journal is opened again.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import msgspec

from airlock.data.files import written
from airlock.data.samples import Sample
from airlock.data.sources.source import Item
from airlock.errors import IntegrityError

LENGTH = 8
HEAD = LENGTH + 32


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One record's payload."""

    name: str
    fingerprint: str
    sample: Sample


class Journal:
    """Samples by item, appended to a file.

    :param path: the file; its whole records are read, then it is appended to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Entry).decode
        self._places: dict[tuple[str, str], tuple[int, int]] = {}
        path.touch()
        self._file = path.open("r+b", buffering=0)
        self._end = 0
        for place, size, entry in self._recover():
            self._places[entry.name, entry.fingerprint] = (place, size)
            self._end = place + size
        self._file.truncate(self._end)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, item: Item) -> bool:
        return (item.name, item.fingerprint) in self._places

    def add(self, item: Item, sample: Sample) -> None:
        """Append a sample, in one write.

        :raises ResourceError: no space is left; the journal is given up.
        """
        payload = self._encode(Entry(item.name, item.fingerprint, sample))
        record = len(payload).to_bytes(LENGTH, "big") + hashlib.sha256(payload).digest() + payload
        with written(self.path):
            self._file.seek(self._end)
            view = memoryview(record)
            while view:
                view = view[self._file.write(view) :]
        self._places[item.name, item.fingerprint] = (self._end + HEAD, len(payload))
        self._end += len(record)

    def __getitem__(self, item: Item) -> Sample:
        """Return an item's sample, verified.

        :raises IntegrityError: the journal was altered.
        """
        place, size = self._places[item.name, item.fingerprint]
        self._file.seek(place - HEAD)
        record = self._file.read(HEAD + size)
        payload = record[HEAD:]
        if hashlib.sha256(payload).digest() != record[LENGTH:HEAD]:
            raise IntegrityError(f"{self.path} was altered.", hint="Delete it and run the task again.")
        return self._decode(payload).sample

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _recover(self) -> Iterator[tuple[int, int, Entry]]:
        place = 0
        while len(head := self._file.read(HEAD)) == HEAD:
            size = int.from_bytes(head[:LENGTH], "big")
            if size > self.path.stat().st_size:
                return
            payload = self._file.read(size)
            if hashlib.sha256(payload).digest() != head[LENGTH:]:
                return
            place += HEAD + size
            yield place - size, size, self._decode(payload)
