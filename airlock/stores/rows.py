"""The digest of a table's content, whatever the order of its rows; memory stays flat (32 bytes a row)."""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from airlock.digests import PREFIX
from airlock.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

ROW = "airlock_row"
SIZE = 32


def row_digests(batch: "pa.RecordBatch", names: list[str]) -> list[bytes]:
    """Return the sha256 of each row: its values in the order of the names, as MessagePack."""
    encode = msgspec.msgpack.Encoder().encode
    columns = [batch.column(name).to_pylist() for name in names]
    return [hashlib.sha256(encode(values)).digest() for values in zip(*columns, strict=True)]


def content_digest(names: Iterable[str], rows: bytes) -> str:
    """Return the digest of a table.

    :param names: its columns, in any order.
    :param rows: the row digests, one after another, in any order.
    """
    import numpy as np

    sha = hashlib.sha256(msgspec.json.encode(sorted(names)))
    sha.update(np.sort(np.frombuffer(rows, dtype=f"S{SIZE}")).tobytes())
    return PREFIX + sha.hexdigest()


def with_row_digests(table: "pa.Table") -> "pa.Table":
    """Return the table with the column :data:`ROW`."""
    import pyarrow as pa

    names = sorted(table.column_names)
    digests = [digest for batch in table.to_batches(1024) for digest in row_digests(batch, names)]
    return table.append_column(ROW, pa.array(digests, pa.binary(SIZE)))


def require_keyed(table: "pa.Table", key: str, what: str) -> None:
    """Check that a table has rows, and that its key names each of them once.

    :raises UserError: it is empty, has no key column, or a key is missing or there twice.
    """
    import pyarrow.compute as pc

    if key not in table.column_names:
        raise UserError(f"{what} has no column {key!r}.", hint=f"It has {', '.join(table.column_names)}.")
    if not table.num_rows:
        raise UserError(f"{what} has no rows.", hint="Check the source and why its samples were dropped.")
    if table.column(key).null_count:
        raise UserError(f"{what} has a row without {key}.", hint="Give every sample an id.")
    counts = pc.value_counts(table.column(key).combine_chunks())
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        raise UserError(f"{what} has {key} {twice[0]['values']} more than once.", hint="Drop duplicate samples first.")
