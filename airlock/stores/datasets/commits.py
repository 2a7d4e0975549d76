"""A commit: the rows given are the newest version, whatever was there before."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airlock.errors import InfrastructureError, UserError
from airlock.references import DatasetVersion
from airlock.stores.datasets.history import (
    Change,
    Made,
    digest_of,
    environment,
    own,
    properties,
    row_column,
    user,
    version_of,
)
from airlock.stores.datasets.privacy import banned
from airlock.stores.datasets.transactions import Conflict, Removal, publish, replace, retried
from airlock.stores.datasets.writing import KEY, RowStream
from airlock.stores.rows import BRIEF, ROW, SIZE, among, brief, content_digest, fixed, key_hashes, require_keyed
from airlock.stores.tables import Tables

if TYPE_CHECKING:
    import lance
    import numpy as np
    import pyarrow as pa
    from lance.fragment import FragmentMetadata
    from numpy.typing import NDArray


def commit(
    tables: Tables,
    name: str,
    rows: "pa.Table | pa.RecordBatchReader",
    process: dict[str, Any],
    *,
    hashed: bool = False,
) -> tuple[DatasetVersion, Change]:
    """Commit; see :meth:`airlock.stores.datasets.DatasetStore.commit`."""
    import pyarrow as pa

    require_keyed(rows.schema, KEY, f"The table for dataset {name}")

    def attempt(stream: "pa.RecordBatchReader") -> tuple[DatasetVersion, Change]:
        return _Commit(tables, name, stream, process, tables.open(name), hashed=hashed).run()

    if isinstance(rows, pa.Table):
        return retried(f"dataset {name}", lambda: attempt(rows.to_reader()))
    try:
        return attempt(rows)
    except Conflict as error:  # a stream cannot be read again
        raise _taken(name) from error


def patch(
    tables: Tables,
    base: DatasetVersion,
    batches: "list[pa.RecordBatch]",
    removed: Iterable[str],
    process: dict[str, Any],
    *,
    hashed: bool = False,
) -> tuple[DatasetVersion, Change]:
    """Patch; see :meth:`airlock.stores.datasets.DatasetStore.patch`."""
    import pyarrow as pa

    latest = tables.open(base.name)
    if latest is None or latest.version != base.version or digest_of(latest) != base.digest:
        raise _taken(base.name)
    empty = latest.schema.remove(latest.schema.get_field_index(ROW)).empty_table()
    rows = pa.Table.from_batches(batches).to_reader() if batches else empty.to_reader()
    if columns(rows.schema) != columns(latest.schema):
        raise _taken(base.name)
    try:
        return _Commit(tables, base.name, rows, process, latest, hashed=hashed).patch(latest, list(removed))
    except Conflict as error:
        raise _taken(base.name) from error


def _taken(name: str) -> InfrastructureError:
    return InfrastructureError(f"Another run wrote dataset {name} at the same time.", hint="Run the task again.")


class _Commit:
    def __init__(
        self,
        tables: Tables,
        name: str,
        rows: "pa.RecordBatchReader",
        process: dict[str, Any],
        latest: "lance.LanceDataset | None",
        *,
        hashed: bool,
    ) -> None:
        self.tables, self.name, self.rows, self.process, self.hashed = tables, name, rows, process, hashed
        self.latest = latest
        self.same = self.latest is not None and columns(self.latest.schema) == columns(rows.schema)
        schema = self.latest.schema if self.latest is not None and self.same else rows.schema
        self.schema = schema.remove(schema.get_field_index(ROW)) if ROW in schema.names else schema

    def run(self) -> tuple[DatasetVersion, Change]:
        """Commit: the rows are everything."""
        with self._stream(self._known()) as stream:
            return self._merge(self.latest, stream) if self.latest is not None and self.same else self._replace(stream)

    def patch(self, latest: "lance.LanceDataset", removed: list[str]) -> tuple[DatasetVersion, Change]:
        """Commit: the rows are only what changed, and these samples go; the rest is not looked at."""
        index = latest.to_table(columns=[KEY, ROW])
        known = brief(fixed(index.column(ROW), SIZE))
        known.sort()
        with self._stream(known) as stream:
            return self._patch(latest, stream, index, removed)

    def _stream(self, known: "NDArray[np.bytes_]") -> RowStream:
        return RowStream(self.rows, self.schema, known, banned(self.tables, self.name), hashed=self.hashed)

    def _known(self) -> "NDArray[np.bytes_]":
        """The briefs of the newest version's rows, sorted."""
        import numpy as np

        if self.latest is None or not self.same:
            return np.empty(0, dtype=f"S{BRIEF}")
        known, at = np.empty(self.latest.count_rows(), dtype=f"S{BRIEF}"), 0
        for rows in row_column(self.latest):
            known[at : at + len(rows)] = brief(rows)
            at += len(rows)
        known.sort()
        return known

    def _replace(self, stream: RowStream) -> tuple[DatasetVersion, Change]:
        """The first version, or one with other columns."""
        new = stream.write(self.tables.path(self.name), "overwrite", self.tables.options)
        if self.latest is not None and "@" in self.name:
            raise UserError(
                f"The branch {self.name} has other columns.", hint="Commit other columns to the dataset itself."
            )
        digest, _ = self._digest(stream)
        removed = self.latest.count_rows() if self.latest else 0
        change = Change(added=stream.written, removed=removed, forgotten=stream.forgotten)
        written = replace(self.tables, self.name, new, stream.schema, self._properties(digest, change))
        return version_of(self.name, written, digest), change

    def _merge(self, latest: "lance.LanceDataset", stream: RowStream) -> tuple[DatasetVersion, Change]:
        """Only what changed."""
        new = stream.write(latest, "append", self.tables.options)
        gone = stream.lost()
        digest, keys = self._digest(stream)
        if digest == digest_of(latest):
            return version_of(self.name, latest, digest), Change(forgotten=stream.forgotten)
        return self._publish(latest, stream, new, digest, keys, gone)

    def _patch(
        self, latest: "lance.LanceDataset", stream: RowStream, index: "pa.Table", removed: list[str]
    ) -> tuple[DatasetVersion, Change]:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        new = stream.write(latest, "append", self.tables.options)
        keys, came = stream.keys(), stream.rows()
        rows = fixed(index.column(ROW), SIZE)
        going = pa.array(removed + stream.names(), index.schema.field(KEY).type)
        came.sort()
        touched = pc.is_in(index.column(KEY), value_set=going).to_numpy()
        lost = touched & ~among(rows, came)[0]
        fresh = came[~among(brief(came), stream.known)[0]]
        left = np.concatenate([rows[~lost], fresh])
        digest = content_digest(self.schema.names, left)
        if digest == digest_of(latest) or not len(left):
            return version_of(self.name, latest), Change(forgotten=stream.forgotten)
        return self._publish(latest, stream, new, digest, keys, np.sort(rows[lost]))

    def _publish(
        self,
        latest: "lance.LanceDataset",
        stream: RowStream,
        new: "list[FragmentMetadata]",
        digest: str,
        keys: "NDArray[np.bytes_]",
        gone: "NDArray[np.bytes_]",
    ) -> tuple[DatasetVersion, Change]:
        removal = Removal(latest, gone)
        changed = int(among(key_hashes(removal.keys), keys)[0].sum())
        change = Change(
            added=stream.written - changed,
            changed=changed,
            removed=len(removal.keys) - changed,
            forgotten=stream.forgotten,
        )
        written = publish(latest, new, self._properties(digest, change), removal)
        return version_of(self.name, written, digest), change

    def _digest(self, stream: RowStream) -> tuple[str, "NDArray[np.bytes_]"]:
        keys = stream.keys()
        if not len(keys):
            raise UserError(
                f"The table for dataset {self.name} has no rows.",
                hint="Check the source and why its samples were dropped.",
            )
        return stream.digest(self.schema.names), keys

    def _properties(self, digest: str, change: Change) -> dict[str, str]:
        made = Made(kind="commit", who=user(), environment=environment(), change=change)
        return properties(digest, self.process, made)


def columns(schema: "pa.Schema") -> dict[str, str]:
    """Return name and type of the columns that are the dataset's own."""
    return {name: str(schema.field(name).type) for name in own(schema)}
