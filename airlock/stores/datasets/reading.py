"""Rows of an opened version, by sample id, and their digests."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from airlock.errors import IntegrityError, UserError
from airlock.references import DatasetVersion
from airlock.stores.datasets.history import HINT, own, title
from airlock.stores.datasets.writing import KEY, WORKERS
from airlock.stores.rows import ROW, SIZE, fixed, row_digests, slices
from airlock.stores.tables import table_errors

if TYPE_CHECKING:
    import lance
    import pyarrow as pa

# Lance hands each row of a take from thread to thread, and waits: a few takes at once need half the time.
TAKERS, TOGETHER = 4, 64


class Reader:
    """A version that is read at random, many times, for as long as one job lasts.

    :param version: what is read.
    :param data: it, opened.
    """

    def __init__(self, version: DatasetVersion, data: "lance.LanceDataset") -> None:
        self.version = version
        self.data = data

    def take(self, sample_ids: Iterable[str], columns: list[str] | None = None, *, check: bool = True) -> "pa.Table":
        """Return the rows with these sample ids; see :meth:`airlock.stores.datasets.DatasetStore.take`."""
        with table_errors(title(self.version)):
            names = known_columns(self.data, columns)
            rows = rows_of(self.data, list(sample_ids), self.data.schema.names if check else names, self._index)
            if check:
                self._require(rows)
            return rows.select(names)

    @cached_property
    def _index(self) -> "pa.Table":
        return self.data.to_table(columns=[KEY], with_row_id=True)

    def _require(self, rows: "pa.Table") -> None:
        names = sorted(own(rows.schema))
        if b"".join(hashed(rows.to_batches(), names)) != fixed(rows.column(ROW), SIZE).tobytes():
            raise IntegrityError(
                f"The {title(self.version)} was altered: a row is not what its digest says.", hint=HINT
            )


def rows_of(
    data: "lance.LanceDataset", sample_ids: list[str], columns: list[str], index: "pa.Table | None" = None
) -> "pa.Table":
    """Return the rows of an opened version with these sample ids, in the order in which they lie.

    :param index: ``sample_id`` and ``_rowid`` of all rows, for who has it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if index is None:
        index = data.to_table(columns=[KEY], with_row_id=True)
    wanted = pa.array(sample_ids, data.schema.field(KEY).type)
    ids = index.column("_rowid").filter(pc.is_in(index.column(KEY), value_set=wanted)).combine_chunks()
    if not len(ids):
        return data.schema.empty_table().select(columns)
    step = max(TOGETHER, -(-len(ids) // TAKERS))
    parts = [ids.slice(start, step) for start in range(0, len(ids), step)]
    with ThreadPoolExecutor(len(parts)) as pool:
        # Lance's ``take`` counts rows around deleted ones, one by one: 20 times slower once a version lost some.
        return pa.concat_tables(pool.map(lambda part: data._take_rows(part, columns=columns), parts))


def hashed(batches: "Iterable[pa.RecordBatch]", names: list[str]) -> Iterator[bytes]:
    """Yield the row digests of batches, in order, hashed by as many threads as a writer uses."""
    with ThreadPoolExecutor(WORKERS) as pool:
        pieces = slices(batches)
        while ahead := [pool.submit(row_digests, piece, names) for piece in islice(pieces, 2 * WORKERS)]:
            for done in ahead:
                yield b"".join(done.result())


def known_columns(data: "lance.LanceDataset", columns: list[str] | None) -> list[str]:
    """Return the columns asked for, by default all of the dataset's own.

    :raises UserError: it has no such column.
    """
    names = own(data.schema)
    if unknown := [name for name in columns or () if name not in names]:
        raise UserError(f"The dataset has no column {', '.join(unknown)}.", hint=f"It has {', '.join(names)}.")
    return names if columns is None else columns
