"""From a stream of rows to data files that no version names yet; memory stays flat.

Every row is hashed once, in parallel. Rows that the newest version has already are not written; what is remembered of
each row is 16 bytes of its key and the 32 of its digest, in a temporary file.
"""

import json
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any

from airlock.errors import UserError
from airlock.stores.rows import (
    KEY_SIZE,
    PIECE,
    ROW,
    SIZE,
    among,
    brief,
    fixed,
    key_hashes,
    row_digests,
    slices,
    streamed_digest,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from lance.fragment import FragmentMetadata
    from numpy.typing import NDArray

KEY = "sample_id"
WORKERS, AHEAD = 2, 4
# Small enough to be rewritten in one piece when a sample must be forgotten.
FILE_BYTES, FILE_ROWS = 256 << 20, 1 << 18


class RowStream:
    """Rows on their way to data files.

    :param batches: the rows, in batches of any size.
    :param schema: their columns; the digest column is added behind them.
    :param known: sorted briefs of the row digests of the version before; these rows are not written again.
    :param hashed: the rows carry their digests, as :func:`~airlock.stores.rows.row_digests` makes them.
    :param banned: says which of some sample ids were deleted for privacy; those rows are left out.
    """

    def __init__(
        self,
        batches: "Iterator[pa.RecordBatch]",
        schema: "pa.Schema",
        known: "NDArray[np.bytes_]",
        banned: Callable[[list[str]], list[bool]] | None,
        *,
        hashed: bool = False,
    ) -> None:
        import numpy as np
        import pyarrow as pa

        self.batches = batches
        self.schema = schema.remove_metadata().append(pa.field(ROW, pa.binary(SIZE)))
        self.known = known
        self.banned = banned
        self.hashed = hashed
        self.kept = np.zeros(len(known), dtype=bool)
        self.written = self.forgotten = 0
        self.failure: Exception | None = None
        self._names = sorted(schema.names)
        self._keys, self._hashes, self._rows = (_spool() for _ in range(3))

    def __enter__(self) -> "RowStream":
        return self

    def __exit__(self, *_exception: object) -> None:
        for file in (self._keys, self._hashes, self._rows):
            file.close()

    def write(self, target: Any, mode: str, options: dict[str, str]) -> "list[FragmentMetadata]":
        """Write what is new to data files; no version names them yet.

        :param target: an opened table to append to, or where one shall be made or made anew.
        :param mode: ``append`` or ``overwrite``.
        """
        from lance.fragment import write_fragments

        new = _ahead(self.fresh())
        if (first := next(new, None)) is None:  # no empty file
            return []
        sizes: dict[str, Any] = {"max_bytes_per_file": FILE_BYTES, "max_rows_per_file": FILE_ROWS}
        if mode != "append":
            sizes["storage_options"] = options
        try:
            return list(write_fragments(self._surfacing(first, new), target, schema=self.schema, mode=mode, **sizes))
        except (OSError, ValueError, RuntimeError) as error:
            raise self.failure or error from error

    def lost(self) -> "NDArray[np.bytes_]":
        """Return what is known and did not come, and forget the rest: it takes 16 bytes a row."""
        gone = self.known[~self.kept]
        self.known, self.kept = self.known[:0].copy(), self.kept[:0].copy()
        return gone

    def keys(self) -> "NDArray[np.bytes_]":
        """Return the sorted key hashes of all rows.

        :raises UserError: a key was there twice.
        """
        import numpy as np

        self._hashes.seek(0)
        found = np.fromfile(self._hashes, dtype=f"S{KEY_SIZE}")
        found.sort()
        if len(twice := found[1:][found[1:] == found[:-1]]):
            raise UserError(
                f"The rows have {KEY} {self._name_of(twice[0])} more than once.", hint="Drop duplicate samples first."
            )
        return found

    def rows(self) -> "NDArray[np.bytes_]":
        """Return the row digests of all rows, in the order of the stream."""
        import numpy as np

        self._rows.seek(0)
        return np.fromfile(self._rows, dtype=f"S{SIZE}")

    def digest(self, names: list[str]) -> str:
        """Return the digest of all rows."""
        return streamed_digest(names, self._rows.tell() // SIZE, self._pieces)

    def _pieces(self) -> "Iterator[NDArray[np.bytes_]]":
        import numpy as np

        self._rows.seek(0)
        while len(piece := np.fromfile(self._rows, dtype=f"S{SIZE}", count=PIECE)):
            yield piece

    def _surfacing(self, first: "pa.RecordBatch", rest: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        """Lance turns what a stream raises into text; keep it."""
        yield first
        try:
            yield from rest
        except Exception as error:
            self.failure = error
            raise

    def fresh(self) -> "Iterator[pa.RecordBatch]":
        """Yield what is not known yet, with the digest of each row."""
        for batch in self._hashed():
            rows = fixed(batch.column(ROW), SIZE)
            old, at = among(brief(rows), self.known)
            self.kept[at[old]] = True
            new = batch if not old.any() else batch.filter(_mask(~old))
            self.written += new.num_rows
            if new.num_rows:
                yield new

    def _hashed(self) -> "Iterator[pa.RecordBatch]":
        waiting: deque[Future[pa.RecordBatch]] = deque()
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="row-digests") as pool:
            for batch in slices(self.batches):
                waiting.append(pool.submit(self._with_digests, batch))
                if len(waiting) >= AHEAD:
                    yield self._noted(waiting.popleft().result())
            while waiting:
                yield self._noted(waiting.popleft().result())

    def _with_digests(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        import pyarrow as pa

        if self.banned and any(banned := self.banned(batch.column(KEY).to_pylist())):
            batch = batch.filter(pa.array([not each for each in banned]))
            self.forgotten += sum(banned)
        columns = [batch.column(name) for name in self.schema.names[:-1]]
        columns.append(batch.column(ROW) if self.hashed else pa.array(row_digests(batch, self._names), pa.binary(SIZE)))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _noted(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        keys = batch.column(KEY).to_pylist()
        if None in keys:
            raise UserError(f"There is a row without {KEY}.", hint="Give every sample an id.")
        self._keys.write(json.dumps(keys).encode() + b"\n")
        self._hashes.write(key_hashes(keys).tobytes())
        self._rows.write(fixed(batch.column(ROW), SIZE).tobytes())
        return batch

    def names(self) -> list[str]:
        """Return the keys of all rows, in the order of the stream."""
        self._keys.seek(0)
        return [name for line in self._keys for name in json.loads(line)]

    def _name_of(self, wanted: bytes) -> str:
        return next(name for name in self.names() if key_hashes([name])[0] == wanted)


def _ahead(items: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    """Yield batches while a thread makes the next one: Lance encodes one only when it asks for another."""
    with ThreadPoolExecutor(1, thread_name_prefix="next-rows") as pool:
        following: Future[pa.RecordBatch | None] = pool.submit(next, items, None)
        while (batch := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield batch


def _spool() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="airlock-rows-")


def _mask(values: "NDArray[np.bool_]") -> "pa.Array":
    import pyarrow as pa

    return pa.array(values)
