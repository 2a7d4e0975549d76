"""From the rows of a table (CSV, JSON Lines, Parquet, SQL) to samples: one a row, or the file that a row names."""

import base64
import math
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from airlock.data.samples import Sample, Value
from airlock.data.sources.source import Sequential
from airlock.digests import canonical
from airlock.errors import SourceError, UserError
from airlock.stores.artifacts import safe_relative

Row = dict[str, Any]
Rows = Callable[[], Iterator[tuple[int, Row]]]
PLAIN = (str, int, bool, type(None))


class Columns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a table's columns mean. The rest of a row is its content, as canonical JSON.

    :param label: column with the class.
    :param split: column with ``train`` or ``test``.
    :param group: column whose value samples share that must not straddle splits.
    :param key: column that names each row once; without one a row's number names it.
    :param metadata: columns that are kept beside the content.
    :param content: column that is the content: text, or bytes.
    :param file: column with the path of a file that is the content, below the table's own folder.
    """

    label: str = ""
    split: str = ""
    group: str = ""
    key: str = ""
    metadata: tuple[str, ...] = ()
    content: str = ""
    file: str = ""

    def __post_init__(self) -> None:
        if self.content and self.file:
            raise ValueError("content and file cannot both name a column: the content is one of them")

    @property
    def named(self) -> list[str]:
        """All columns that are named."""
        single = (self.label, self.split, self.group, self.key, self.content, self.file)
        return [name for name in (*single, *self.metadata) if name]


def samples(rows: Rows, columns: Columns, name: str, folder: Path | None = None) -> Sequential:
    """Return a table's rows as samples; every row is looked at once before the first is given out.

    :param rows: gives (line or row number, row) from the first on.
    :param name: of the table, for messages and sources.
    :param folder: where files that rows name lie; ``None`` when there is no such folder.
    :raises SourceError: a column is missing, or a key is there twice.
    """
    count = _check(rows, columns, name)
    make = _Maker(columns, name, folder)
    return Sequential(count, lambda: (make.sample(number, row) for number, row in rows()))


def _check(rows: Rows, columns: Columns, name: str) -> int:
    seen: dict[Any, int] = {}
    count = 0
    for number, row in rows():
        count += 1
        missing = [column for column in columns.named if column not in row]
        if missing:
            raise SourceError(
                f"{name} has no column {missing[0]!r} in row {number}; it has {', '.join(map(str, row)) or 'none'}.",
                hint="Correct the column's name in the source, or the table.",
            )
        if columns.key:
            _check_key(row[columns.key], number, seen, name, columns.key)
    return count


def _check_key(value: Any, number: int, seen: dict[Any, int], name: str, key: str) -> None:
    if value is None or value == "":
        raise SourceError(f"{name} has no {key} in row {number}.", hint="A key names every row: fill it in.")
    before = seen.setdefault(str(value), number)
    if before != number:
        raise SourceError(
            f"{name} has the {key} {value!r} twice, in rows {before} and {number}.",
            hint="A key names a row once: repair the table, or choose another key.",
        )


class _Maker:
    def __init__(self, columns: Columns, name: str, folder: Path | None) -> None:
        self.columns = columns
        self.name = name
        self.folder = folder
        self.apart = {columns.label, columns.split, columns.group, columns.key, *columns.metadata}

    def sample(self, number: int, row: Row) -> Sample:
        columns = self.columns
        where = f"{self.name}#{_text(row[columns.key]) if columns.key else number}"
        return Sample(
            source=where,
            content=self._content(row, where),
            label=_text(row[columns.label]) if columns.label else None,
            origin=f"column {columns.label}",
            split=_text(row[columns.split]) if columns.split else None,
            group=_text(row[columns.group]) if columns.group else None,
            metadata={name: _metadata(row[name]) for name in columns.metadata},
        )

    def _content(self, row: Row, where: str) -> bytes:
        if self.columns.file:
            return self._file(_text(row[self.columns.file]), where)
        if not self.columns.content:
            return canonical({name: plain(value) for name, value in row.items() if name not in self.apart})
        value = row[self.columns.content]
        if value is None:
            raise SourceError(
                f"{where} has no {self.columns.content}.", hint="Leave rows without content out of the table."
            )
        return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else str(value).encode()

    def _file(self, named: str | None, where: str) -> bytes:
        if self.folder is None:
            raise UserError(
                f"{self.name} is not a file in a folder, so its column {self.columns.file!r} cannot name files.",
                hint="Put table and files into one folder, or use the kind manifest for URLs.",
            )
        try:
            return (self.folder / safe_relative(named or "")).read_bytes()
        except UserError as error:
            raise SourceError(
                f"{where} names the file {named!r}, which is not below the table's folder.",
                hint="Name files by relative paths without '..'.",
            ) from error
        except OSError as error:
            raise SourceError(
                f"{where} names the file {named!r}, which cannot be read: {error.strerror}.",
                hint=f"Paths are relative to {self.folder}: put the file there, or correct the column.",
            ) from error


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it, without loss: bytes in base64, times in ISO 8601, NaN and infinities by
    the names that Protocol Buffers' JSON gives them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise SourceError(
        f"A value of type {type(value).__name__} has no JSON form.", hint="Convert the column in the query or file."
    )


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(plain(value))


def _metadata(value: Any) -> Value:
    found = plain(value)
    return found if isinstance(found, str | int | float | bool | None) else canonical(found).decode()
