"""Writes data files again without some samples, in the same place and of the same size.

Versions and branches share files, and Lance has no way to point an old version at another one.
"""

import hashlib
import struct
import tempfile
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airlock.errors import IntegrityError
from airlock.stores.datasets.writing import KEY
from airlock.stores.rows import ROW, SIZE
from airlock.stores.tables import SUFFIX, Tables

if TYPE_CHECKING:
    import pyarrow as pa

MARKERS = (64, 48, 32, 16)
"""Characters of the hash that stands in the place of a sample id: the first that makes a file no larger."""
FOOTER = struct.Struct("<QQQII")
SHORT = 64
"""Characters of a text that is no content."""


def scrub(tables: Tables, table: str, sample_ids: set[str]) -> None:
    """Write every data file of a table that has one of these samples again without it.

    :raises IntegrityError: a file would become larger than it is.
    """
    for key in list(tables.objects.keys(f"{table}{SUFFIX}")):
        if key.endswith(SUFFIX) and "/data/" in key:
            _scrub(tables, key, sample_ids)


def marker(sample_id: str) -> str:
    """What stands for a sample that is gone: the SHA-256 of its id, in hexadecimal digits."""
    return hashlib.sha256(sample_id.encode()).hexdigest()


def _scrub(tables: Tables, key: str, sample_ids: set[str]) -> None:
    from lance.file import LanceFileReader

    reader = LanceFileReader(f"{tables.root}/{key}", storage_options=tables.options or None, columns=[KEY])
    if sample_ids.isdisjoint(reader.read_all().to_table().column(KEY).to_pylist()):
        return
    with tempfile.TemporaryDirectory(prefix="airlock-forget-") as name:
        folder = Path(name)
        tables.objects.fetch(key, folder / "before.lance")
        _rewrite(folder / "before.lance", folder / "after.lance", sample_ids)
        tables.objects.replace(key, (folder / "after.lance").read_bytes())


def _rewrite(before: Path, after: Path, sample_ids: set[str]) -> None:
    """Write a file without the samples, as large as it was: every version that names it has its size written down.

    :raises IntegrityError: no way of writing it makes it that small; nothing was replaced.
    """
    for size in MARKERS:
        _write(before, after, Blanks(sample_ids, size))
        if (lack := before.stat().st_size - after.stat().st_size) >= 0:
            return _pad(after, lack)
    raise IntegrityError(
        f"A data file would be {-lack} bytes larger without these samples than with them, so they are still in it.",
        hint="Check the newest version out, add it under another name, and remove this dataset's folder.",
    )


def _write(before: Path, after: Path, blanks: "Blanks") -> None:
    from lance.file import LanceFileReader, LanceFileWriter

    reader = LanceFileReader(str(before))
    found = reader.metadata()
    version = f"{found.major_version}.{found.minor_version}"
    with LanceFileWriter(str(after), schema=found.schema, version=version) as file:
        for batch in reader.read_all(batch_size=256).to_batches():
            file.write_batch(blanks.applied(batch))


def _pad(path: Path, count: int) -> None:
    """Make a file larger by zeros before its column metadata, and correct what says where things lie behind them.

    The end of a file, by Lance's file format 2: column metadata; its offset table, a position and a size (u64) for each
    column; the same for global buffers, which lie before; the starts of these three (u64), the counts of buffers and
    columns (u32), version (2 u16), "LANC".
    """
    data = path.read_bytes()
    start, columns, buffers, buffer_count, column_count = FOOTER.unpack_from(data, len(data) - FOOTER.size - 8)
    table = array("Q", data[columns : columns + 16 * column_count])
    for number in range(0, 2 * column_count, 2):
        table[number] += count
    shifted = FOOTER.pack(start + count, columns + count, buffers + count, buffer_count, column_count)
    head, tail = data[:start] + bytes(count), data[columns + 16 * column_count : -FOOTER.size - 8]
    path.write_bytes(head + data[start:columns] + table.tobytes() + tail + shifted + data[-8:])


class Blanks:
    """What stands in the place of samples: a marker for their id, and nothing of theirs.

    Their long values are empty. The short ones are those of another sample of the file, because a value that no other
    row has, a null for example, can make the file larger than it was.

    :param size: characters of the marker.
    """

    def __init__(self, sample_ids: set[str], size: int) -> None:
        self.sample_ids = sample_ids
        self.size = size
        self._other: dict[str, Any] = {}  # the last row that stays, of this batch or those before

    def applied(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """Return a batch without the samples, of the same shape."""
        import pyarrow as pa

        keys = batch.column(KEY).to_pylist()
        lost = [key in self.sample_ids for key in keys]
        if not all(lost):
            self._other = batch.slice(lost.index(False), 1).to_pylist()[0]
        if not any(lost):
            return batch
        columns = []
        for field in batch.schema:
            values: list[Any] = batch.column(field.name).to_pylist()
            if field.name == KEY:
                values = [marker(key)[: self.size] if gone else key for key, gone in zip(keys, lost, strict=True)]
            else:
                blank = bytes(SIZE) if field.name == ROW else _blank(field.type, self._other.get(field.name))
                values = [blank if gone else value for value, gone in zip(values, lost, strict=True)]
            columns.append(pa.array(values, field.type))
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _blank(kind: "pa.DataType", other: Any) -> Any:
    from pyarrow import types

    if types.is_binary(kind) or types.is_large_binary(kind):
        return b""
    return "" if isinstance(other, str) and len(other) > SHORT else other
