"""Tables as text: JSON Lines, an object a line."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airlock.data.download import Report
from airlock.data.sources.rows import Row, samples
from airlock.data.sources.source import Sequential
from airlock.data.sources.table import Table
from airlock.data.sources.unpacking import lines
from airlock.errors import SourceError


class Jsonl(Table, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="jsonl"):
    """A JSON Lines file in UTF-8, packed or not; blank lines are left out."""

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator[Sequential]:
        """Read the file once to the end before the first sample: a broken line is found before anything is written."""
        path = self.local(workdir, report)
        yield samples(lambda: self._rows(path), self.columns, self.name, self.folder)

    def _rows(self, path: Path) -> Iterator[tuple[int, Row]]:
        for number, line in lines(path, self.name, self.max_bytes):
            if line.strip():
                yield number, parse_line(line, self.name, number)


def parse_line(line: bytes, name: str, number: int) -> Row:
    """Return the object on a line.

    :raises SourceError: it is no JSON object in UTF-8, or has a key twice.
    """
    try:
        row = json.loads(line.decode(), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{name} is not UTF-8 at line {number}: byte 0x{line[error.start]:02x}.", hint="Convert it (`iconv`)."
        ) from error
    except RecursionError as error:
        raise SourceError(f"{name} nests too deeply at line {number}.", hint="Do not trust this file.") from error
    except ValueError as error:  # of json, and of _object below
        raise SourceError(
            f"{name} is not valid at line {number}: {error}.", hint='Every line is one object, {"name": value, …}.'
        ) from error
    if not isinstance(row, dict):
        raise SourceError(f"{name} has no object at line {number}.", hint='A line looks like {"name": value, …}.')
    return row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found
