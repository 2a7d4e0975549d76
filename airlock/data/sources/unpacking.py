"""Reading a file that may be packed (gzip, bzip2, xz), without trusting what it says about its size."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from airlock.errors import SourceError

MAX_LINE = 64 << 20
MAGIC: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
DAMAGED = (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)


class Bounded(io.RawIOBase):
    """A file of which no more than ``max_bytes`` are read, in pieces of no more than ``max_piece``.

    :param file: what is read.
    :param name: for messages.
    """

    def __init__(self, file: BinaryIO, name: str, max_bytes: int, max_piece: int = 0) -> None:
        super().__init__()
        self.file = file
        self.name_ = name
        self.max_bytes = max_bytes
        self.max_piece = max_piece or max_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size > self.max_piece:
            raise self._over(f"asks for {size:,} bytes at once", self.max_piece)
        data = self.file.read(size)
        self._check(self.file.tell())
        return data

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0:
            self._check(offset)
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def _check(self, position: int) -> None:
        if position > self.max_bytes:
            raise self._over(f"unpacks to more than {self.max_bytes:,} bytes", self.max_bytes)

    def _over(self, what: str, limit: int) -> SourceError:
        return SourceError(
            f"{self.name_} {what}, above the limit of {limit:,}.",
            hint="If this is no bomb but what you expect, raise max_bytes (or max_member_bytes) in the source.",
        )


@contextmanager
def unpacked(path: Path, name: str, max_bytes: int, max_piece: int = 0) -> Iterator[BinaryIO]:
    """Open a file, packed or not: by content, because some servers unpack on the way.

    :raises SourceError: the packing is damaged or cut short, or more than ``max_bytes`` come out.
    """
    with path.open("rb") as probe:
        start = probe.read(6)
    opener = next((opener for magic, opener in MAGIC.items() if start.startswith(magic)), None)
    with damage_named(name), opener(path) if opener else path.open("rb") as file:
        yield cast("BinaryIO", Bounded(cast("BinaryIO", file), name, max_bytes, max_piece))


@contextmanager
def damage_named(name: str) -> Iterator[None]:
    """Name the file whose packing is damaged."""
    try:
        yield
    except DAMAGED as error:
        raise SourceError(
            f"{name} is damaged or cut short: {error}.",
            hint="Fetch the file again and compare its size with the publisher's.",
        ) from error


def lines(path: Path, name: str, max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line with its end) of a text file, packed or not.

    :raises SourceError: a line is longer than 64 MiB, or as :func:`unpacked`.
    """
    with unpacked(path, name, max_bytes) as file:
        buffered = io.BufferedReader(cast("io.RawIOBase", file), 1 << 16)
        for number, line in enumerate(iter(lambda: buffered.readline(MAX_LINE), b""), start=1):
            if len(line) == MAX_LINE:
                raise SourceError(f"{name} has more than {MAX_LINE:,} bytes at line {number}.", hint="Is it a text?")
            yield number, line
