"""Appending: batches of many writers at once, each there exactly once."""

from typing import TYPE_CHECKING, Any

from airlock.errors import UserError
from airlock.references import DatasetVersion
from airlock.stores.datasets.commits import columns
from airlock.stores.datasets.history import Change, Made, environment, own, properties, user, version_of
from airlock.stores.datasets.privacy import banned
from airlock.stores.datasets.transactions import Removal, opened_or_created, publish, retried
from airlock.stores.datasets.writing import KEY, RowStream
from airlock.stores.rows import BRIEF, KEY_SIZE, ROW, SIZE, among, content_digest, fixed, key_hashes, require_keyed
from airlock.stores.tables import Tables

if TYPE_CHECKING:
    import lance
    import numpy as np
    import pyarrow as pa
    from lance.fragment import FragmentMetadata
    from numpy.typing import NDArray


class Appender:
    """Appends to datasets; remembers what their fragments hold, so that a batch costs what it brings.

    :param tables: where the datasets lie.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._held: dict[str, tuple[NDArray[np.bytes_], NDArray[np.bytes_]]] = {}

    def append(
        self, name: str, rows: "pa.Table | pa.RecordBatchReader", process: dict[str, Any], *, replace: bool
    ) -> tuple[DatasetVersion, Change]:
        """Append; see :meth:`airlock.stores.datasets.DatasetStore.append`."""
        import pyarrow as pa

        require_keyed(rows.schema, KEY, f"The batch for dataset {name}")
        table = rows if isinstance(rows, pa.Table) else rows.read_all()
        if not table.num_rows:
            raise UserError(f"The batch for dataset {name} has no rows.", hint="Append what there is.")
        batch = _Batch(self, name, table, process, replace)
        return retried(f"dataset {name}", batch.attempt)

    def index(self, data: "lance.LanceDataset") -> "tuple[NDArray[np.bytes_], NDArray[np.bytes_]]":
        """Return key hashes and row digests of a version; only fragments not seen before are read."""
        import numpy as np

        held = {}
        for fragment in data.get_fragments():
            deleted = fragment.metadata.deletion_file
            mark = f"{data.uri} {fragment.metadata.files[0].path} {deleted.id if deleted else ''}"
            if mark not in self._held:
                rows = fragment.to_table(columns=[KEY, ROW])
                keys = key_hashes(rows.column(KEY).to_pylist())
                self._held[mark] = keys, fixed(rows.column(ROW), SIZE)
            held[mark] = self._held[mark]
        self._held = held
        if not held:
            return np.empty(0, dtype=f"S{KEY_SIZE}"), np.empty(0, dtype=f"S{SIZE}")
        keys, rows = (np.concatenate(part) for part in zip(*held.values(), strict=True))
        return keys, rows


class _Batch:
    """One batch: hashed once, written again only when others brought some of its rows meanwhile."""

    def __init__(
        self, appender: Appender, name: str, table: "pa.Table", process: dict[str, Any], replace: bool
    ) -> None:
        import numpy as np
        import pyarrow as pa

        self.appender, self.name, self.process, self.replace = appender, name, process, replace
        self.columns = columns(table.schema)
        nothing = np.empty(0, dtype=f"S{BRIEF}")
        with RowStream(table.to_reader(), table.schema, nothing, banned(appender.tables, name)) as stream:
            self.table = pa.Table.from_batches(stream.fresh(), schema=stream.schema)
            stream.keys()
            self.digest = stream.digest(table.column_names)
            self.forgotten = stream.forgotten
        self.keys = key_hashes(self.table.column(KEY).to_pylist())
        self.rows = fixed(self.table.column(ROW), SIZE)
        self._written: tuple[bytes, list[FragmentMetadata]] = (b"", [])

    def attempt(self) -> tuple[DatasetVersion, Change]:
        """Publish on top of what is there now.

        :raises Conflict: others published meanwhile.
        """
        import numpy as np

        data = opened_or_created(self.appender.tables, self.name, self.table.schema)
        self._check_columns(data)
        keys, rows = self.appender.index(data)
        fresh = ~among(self.rows, np.sort(rows))[0]
        if not fresh.any():
            return version_of(self.name, data), Change(forgotten=self.forgotten)
        order = np.argsort(keys)
        clashing, at = among(self.keys[fresh], keys[order])
        self._check_clashes(fresh, clashing)
        gone = np.sort(rows[order][at[clashing]])
        left = np.concatenate([rows[~among(rows, gone)[0]], self.rows[fresh]])
        digest = content_digest(own(data.schema), left)
        change = Change(added=int(fresh.sum() - clashing.sum()), changed=int(clashing.sum()), forgotten=self.forgotten)
        made = Made(kind="append", who=user(), environment=environment(), change=change, batch=self.digest)
        properties_ = properties(digest, self.process, made)
        written = publish(data, self._fragments(data, fresh), properties_, Removal(data, gone))
        return version_of(self.name, written, digest), change

    def _fragments(self, data: "lance.LanceDataset", fresh: "NDArray[np.bool_]") -> "list[FragmentMetadata]":
        import pyarrow as pa
        from lance.fragment import write_fragments

        which = fresh.tobytes()
        if which != self._written[0]:
            new = self.table.filter(pa.array(fresh)).select(data.schema.names)
            self._written = which, write_fragments(new, data, mode="append")
        return self._written[1]

    def _check_columns(self, data: "lance.LanceDataset") -> None:
        if (there := columns(data.schema)) != self.columns:
            raise UserError(
                f"The batch for dataset {self.name} has the columns {_listed(self.columns)}, not {_listed(there)}.",
                hint="Commit a whole version to change columns.",
            )

    def _check_clashes(self, fresh: "NDArray[np.bool_]", clashing: "NDArray[np.bool_]") -> None:
        import pyarrow as pa

        if not clashing.any() or self.replace:
            return
        first = self.table.column(KEY).filter(pa.array(fresh)).filter(pa.array(clashing))[0].as_py()
        raise UserError(
            f"{clashing.sum()} samples of the batch are in dataset {self.name} with other values, for example {first}.",
            hint="Append with replace=True, or leave them out.",
        )


def _listed(columns_: dict[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in sorted(columns_.items()))
