"""JSON Lines as a simulator prints them: a sample a line."""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from airlock.data.samples import Sample, Value
from airlock.data.sources.jsonl import parse_line
from airlock.data.sources.rows import plain
from airlock.data.sources.unpacking import lines
from airlock.digests import canonical
from airlock.errors import SourceError, UserError
from airlock.stores.artifacts import safe_relative


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sample: exactly one of text, base64, row and file is its content."""

    text: str | None = None
    base64: str | None = None
    row: dict[str, Any] | None = None
    file: str | None = None
    source: str = ""
    label: str | None = None
    split: str | None = None
    group: str | None = None
    metadata: dict[str, Value] = {}


class Emitted:
    """What a simulator printed.

    :param path: its stdout.
    :param folder: its output folder, for the files that lines name.
    """

    def __init__(self, path: Path, folder: Path, name: str, max_bytes: int) -> None:
        self.path = path
        self.folder = folder
        self.name = name
        self.max_bytes = max_bytes

    def count(self) -> int:
        """Check every line; return how many there are."""
        return sum(1 for _ in self._lines())

    def samples(self) -> Iterator[Sample]:
        """Yield the samples, in the order they were printed."""
        for number, line in self._lines():
            yield Sample(
                source=line.source or f"line {number}",
                content=self._content(line, number),
                label=line.label,
                split=line.split,
                group=line.group,
                metadata=line.metadata,
            )

    def _lines(self) -> Iterator[tuple[int, Line]]:
        for number, data in lines(self.path, self.name, self.max_bytes):
            if data.strip():
                yield number, self._parse(data, number)

    def _parse(self, data: bytes, number: int) -> Line:
        try:
            line = msgspec.convert(parse_line(data, self.name, number), Line)
        except msgspec.ValidationError as error:
            raise self._refused(number, str(error)) from error
        if [line.text, line.base64, line.row, line.file].count(None) != 3:
            raise self._refused(number, "exactly one of text, base64, row and file is the content")
        return line

    def _content(self, line: Line, number: int) -> bytes:
        try:
            if line.base64 is not None:
                return base64.b64decode(line.base64, validate=True)
            if line.file is not None:
                return (self.folder / safe_relative(line.file)).read_bytes()
        except (binascii.Error, UserError, OSError) as error:
            raise self._refused(number, str(error)) from error
        return canonical(plain(line.row)) if line.row is not None else (line.text or "").encode()

    def _refused(self, number: int, why: str) -> SourceError:
        return SourceError(
            f"{self.name} printed no sample at line {number}: {why}.",
            hint='A line looks like {"text": …, "label": …}; everything else a simulator says belongs on stderr.',
        )
