"""The digest of a table's content, whatever the order of its rows; memory stays flat (48 bytes a row)."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.digests import PREFIX
from airlock.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

ROW = "airlock_row"
SIZE = 32
KEY_SIZE = BRIEF = 16
PART_ROWS, PIECE = 1 << 17, 1 << 15
SLICE_ROWS, SLICE_BYTES = 2048, 8 << 20


def row_digests(
    batch: "pa.RecordBatch", names: list[str], hashes: Mapping[str, Sequence[bytes]] = MappingProxyType({})
) -> list[bytes]:
    """Return the sha256 of each row: its values in the order of the names, as MessagePack.

    In the place of a binary value stands its own sha256, so that contents are hashed once where they are known by it.

    :param hashes: sha256 of the values of binary columns, by name, for who has them already.
    """
    encode = msgspec.msgpack.Encoder().encode
    columns = [hashes.get(name) or _values(batch.column(name)) for name in names]
    return [hashlib.sha256(encode(values)).digest() for values in zip(*columns, strict=True)]


def _values(column: "pa.Array") -> list[Any]:
    import pyarrow as pa

    values: list[Any] = column.to_pylist()
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return [None if value is None else hashlib.sha256(value).digest() for value in values]
    return values


def content_digest(names: Iterable[str], rows: "bytes | NDArray[np.bytes_]") -> str:
    """Return the digest of a table.

    :param names: its columns, in any order.
    :param rows: the row digests, one after another, in any order; an array is sorted where it lies.
    """
    import numpy as np

    sha = hashlib.sha256(msgspec.json.encode(sorted(names)))
    found = np.frombuffer(bytearray(rows), dtype=f"S{SIZE}") if isinstance(rows, bytes) else rows
    found.sort()
    sha.update(found.data.cast("B") if found.size else b"")
    return PREFIX + sha.hexdigest()


def fixed(column: Any, size: int) -> "NDArray[np.bytes_]":
    """Return a column of fixed-size binary values as a NumPy array of its own."""
    import numpy as np

    chunks = column.chunks if hasattr(column, "chunks") else [column]
    views = [
        np.frombuffer(chunk.buffers()[1], dtype=f"S{size}", count=len(chunk), offset=chunk.offset * size)
        for chunk in chunks
        if len(chunk)
    ]
    return np.concatenate(views) if views else np.empty(0, dtype=f"S{size}")


def streamed_digest(names: Iterable[str], count: int, read: "Callable[[], Iterable[NDArray[np.bytes_]]]") -> str:
    """Return the same digest for rows of which only a part is in memory at a time.

    :param count: about how many rows there are.
    :param read: yields the row digests in pieces, the same whenever it is called.
    """
    import numpy as np

    sha = hashlib.sha256(msgspec.json.encode(sorted(names)))
    parts = min(256, count // PART_ROWS + 1)
    for part in range(parts):
        chosen = [rows[_leading(rows) * parts // 256 == part] for rows in read()]
        found = np.concatenate(chosen or [np.empty(0, dtype=f"S{SIZE}")])
        found.sort()
        sha.update(found.data.cast("B") if found.size else b"")
    return PREFIX + sha.hexdigest()


def _leading(rows: "NDArray[np.bytes_]") -> "NDArray[np.uint16]":
    """The first byte of each row digest."""
    import numpy as np

    return rows.view(np.uint8).reshape(-1, SIZE)[:, 0].astype(np.uint16)


def brief(rows: "NDArray[np.bytes_]") -> "NDArray[np.bytes_]":
    """Return the first half of each row digest: enough to tell rows apart, at half the memory."""
    import numpy as np

    return np.ascontiguousarray(rows).view(f"S{BRIEF}").reshape(-1, SIZE // BRIEF)[:, 0].copy()


def key_hashes(keys: Iterable[str]) -> "NDArray[np.bytes_]":
    """Return 16 bytes for each key: enough to tell keys apart, at a quarter of the memory of a digest in hex."""
    import numpy as np

    found = b"".join(hashlib.blake2b(str(key).encode(), digest_size=KEY_SIZE).digest() for key in keys)
    return np.frombuffer(found, dtype=f"S{KEY_SIZE}")


def among(values: "NDArray[Any]", ordered: "NDArray[Any]") -> "tuple[NDArray[np.bool_], NDArray[np.intp]]":
    """Say which values are in a sorted array, and where each of them would be."""
    import numpy as np

    at = np.searchsorted(ordered, values)
    if not ordered.size:
        return np.zeros(len(values), dtype=bool), at
    return ordered[np.minimum(at, ordered.size - 1)] == values, at


def slices(batches: Iterable["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
    """Cut batches, without copying, into pieces of a few megabytes."""
    for batch in batches:
        mean = max(1, batch.nbytes // max(1, batch.num_rows))
        step = max(1, min(SLICE_ROWS, SLICE_BYTES // mean))
        for start in range(0, batch.num_rows, step):
            yield batch.slice(start, step)


def require_keyed(schema: "pa.Schema", key: str, what: str) -> None:
    """Check that a table has a key column.

    :raises UserError: it has none.
    """
    if key not in schema.names:
        raise UserError(f"{what} has no column {key!r}.", hint=f"It has {', '.join(schema.names)}.")
