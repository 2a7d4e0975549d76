"""Tables as text: CSV with a header."""

import codecs
import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airlock.data.download import Report
from airlock.data.sources.rows import Row, samples
from airlock.data.sources.source import Sequential
from airlock.data.sources.table import Table
from airlock.data.sources.unpacking import lines
from airlock.errors import SourceError


class Csv(Table, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="csv"):
    """A CSV file with a header, packed or not; every value is text, as found.

    :param delimiter: between two values.
    :param encoding: of the file; any that keeps line ends as they are in ASCII.
    """

    delimiter: str = ","
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.delimiter) != 1:
            raise ValueError(f"delimiter {self.delimiter!r} is not one character")
        if "\n".encode(codecs.lookup(self.encoding).name) != b"\n":
            raise ValueError(f"encoding {self.encoding!r} writes line ends unlike ASCII: convert the file to UTF-8")

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator[Sequential]:
        """Read the file once to the end before the first sample: a broken row is found before anything is written."""
        path = self.local(workdir, report)
        yield samples(lambda: self._rows(path), self.columns, self.name, self.folder)

    def _rows(self, path: Path) -> Iterator[tuple[int, Row]]:
        csv.field_size_limit(min(self.max_bytes, 1 << 30))
        reader = csv.reader(self._lines(path), delimiter=self.delimiter, strict=True)
        try:
            header = self._header(next(reader, []))
            for values in reader:
                if values:
                    yield reader.line_num, self._row(header, values, reader.line_num)
        except csv.Error as error:
            raise SourceError(
                f"{self.name} is no valid CSV at line {reader.line_num}: {error}.",
                hint='Check quotes and delimiter there; a quote inside quotes is written twice ("").',
            ) from error

    def _lines(self, path: Path) -> Iterator[str]:
        for number, line in lines(path, self.name, self.max_bytes):
            start = 3 if number == 1 and line.startswith(codecs.BOM_UTF8) else 0
            try:
                yield line[start:].decode(self.encoding)
            except UnicodeDecodeError as error:
                raise SourceError(
                    f"{self.name} is not {self.encoding} at line {number}: byte 0x{line[start + error.start]:02x}"
                    f" at position {error.start + 1}.",
                    hint="Set the source's encoding; a file of mixed encodings must be converted first (`iconv`).",
                ) from error

    def _header(self, header: list[str]) -> list[str]:
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise SourceError(f"{self.name} has the column {twice[0]!r} twice.", hint="Name every column once.")
        return header

    def _row(self, header: list[str], values: list[str], line: int) -> Row:
        if len(values) != len(header):
            raise SourceError(
                f"{self.name} has {len(values)} values at line {line}, its header {len(header)}.",
                hint="Repair that line: a value that holds the delimiter needs quotes.",
            )
        return dict(zip(header, values, strict=True))
