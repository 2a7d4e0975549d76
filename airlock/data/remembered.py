"""What was added from a source, kept beside the dataset: next time only what changed is read.

A table and not an object for each of a million files: to compare them is Arrow's work.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airlock.data.sources.source import Item

if TYPE_CHECKING:
    import pyarrow as pa

DIGEST = b"airlock.digest"
COLUMNS = ("name", "fingerprint", "sample_id", "rested")
Seen = tuple[str, str, str, bool]


class Remembered(NamedTuple):
    """What was added from a source.

    :param digest: of the dataset version it made.
    :param objects: name, fingerprint and sample id of each, and whether it was at rest.
    """

    digest: str
    objects: "pa.Table"


class Comparison(NamedTuple):
    """A source against what was added from it before.

    :param new: numbers of the items that are new or changed.
    :param kept: of the objects those that are as they were.
    :param gone: sample ids of the others.
    """

    new: list[int]
    kept: "pa.Table"
    gone: set[str]


def objects(seen: Iterable[Seen] = ()) -> "pa.Table":
    """Return a table of objects."""
    import pyarrow as pa

    columns = list(zip(*seen, strict=True)) or [()] * len(COLUMNS)
    kinds = (pa.string(), pa.string(), pa.string(), pa.bool_())
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)], list(COLUMNS))


def compare(before: "pa.Table", items: Sequence[Item]) -> Comparison:
    """Compare what a source holds with what was added from it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    at = pc.index_in(pa.array([item.name for item in items]), value_set=before["name"])
    then = before.take(at)  # null where there was none
    same = pc.and_(pc.equal(then["fingerprint"], pa.array([item.fingerprint for item in items])), then["rested"])
    found = pc.fill_null(same, False).to_numpy()
    gone = np.ones(len(before), dtype=bool)
    gone[at.to_numpy(zero_copy_only=False)[found].astype(np.int64)] = False
    return Comparison(
        np.flatnonzero(~found).tolist(),
        before.filter(pa.array(~gone)),
        set(before["sample_id"].filter(pa.array(gone)).to_pylist()),
    )


def encode(remembered: Remembered) -> bytes:
    """Return the table as a file."""
    import pyarrow as pa

    table = remembered.objects.replace_schema_metadata({DIGEST: remembered.digest})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def decode(data: bytes) -> Remembered | None:
    """Return what a file holds; ``None`` when another release wrote it: it is only a hint."""
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(data).read_all()
    except (pa.ArrowInvalid, OSError):
        return None
    if table.schema.remove_metadata() != objects().schema:
        return None
    return Remembered((table.schema.metadata or {}).get(DIGEST, b"").decode(), table)
