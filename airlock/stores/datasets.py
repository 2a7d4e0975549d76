"""Datasets: Lance tables, one per name, on a file system or S3. Every commit is an immutable version.

Beside its own columns a table has the digest of each row, so that a commit finds what changed without reading
any content, and a change of 1 % of the rows adds about 1 % of the bytes.
"""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.digests import canonical, short
from airlock.errors import IntegrityError, UserError
from airlock.references import DatasetVersion
from airlock.stores.rows import ROW, content_digest, require_keyed, row_digests, with_row_digests
from airlock.stores.tables import Tables, table_errors

if TYPE_CHECKING:
    import lance
    import pyarrow as pa

KEY = "sample_id"
BATCH = 1024
DIGEST, PROCESS = "airlock.digest", "airlock.process"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit changed, in samples."""

    added: int = 0
    changed: int = 0
    removed: int = 0


class DatasetStore:
    """Datasets, by name.

    :param tables: where they lie.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def commit(self, name: str, table: "pa.Table", process: dict[str, Any]) -> tuple[DatasetVersion, Change]:
        """Make a table the newest version of a dataset; the same content again is the same version, unwritten.

        Samples are known by ``sample_id``; those that the table no longer has are not in the new version.

        :param process: what made the table, kept with the version.
        :raises UserError: the table is empty, or a sample id is missing or there twice.
        """
        require_keyed(table, KEY, f"The table for dataset {name}")
        table = with_row_digests(table.replace_schema_metadata())
        properties = {DIGEST: _digest(table), PROCESS: canonical(process).decode()}
        with table_errors(f"dataset {name}"):
            latest = self.tables.open(name)
            if latest is None:
                return self._write(name, table, properties, "create"), Change(added=table.num_rows)
            if _columns(latest.schema) != _columns(table.schema):
                change = Change(added=table.num_rows, removed=latest.count_rows())
                return self._write(name, table, properties, "overwrite"), change
            if _stored_digest(latest) == properties[DIGEST]:
                return _version(name, latest, properties[DIGEST]), Change()
            return self._merge(name, latest, table, properties)

    def read(self, version: DatasetVersion, columns: list[str] | None = None) -> "pa.Table":
        """Return a version's rows.

        :param columns: only these; by default all.
        :raises IntegrityError: it is missing, or its rows are not those of its digest.
        :raises UserError: it has no such column.
        """
        with table_errors(_title(version)):
            data = self._open(version)
            return data.to_table(columns=_known(data, columns))

    def take(self, version: DatasetVersion, sample_ids: Iterable[str], columns: list[str] | None = None) -> "pa.Table":
        """Return the rows with these sample ids, in no particular order."""
        import pyarrow as pa
        import pyarrow.compute as pc

        with table_errors(_title(version)):
            data = self._open(version)
            wanted = pa.array(list(sample_ids), data.schema.field(KEY).type)
            found = pc.is_in(data.to_table(columns=[KEY]).column(KEY).combine_chunks(), value_set=wanted)
            return data.take(pc.indices_nonzero(found), columns=_known(data, columns))

    def digests(self, version: DatasetVersion) -> dict[str, bytes]:
        """Return the digest of each row by sample id, without reading any content."""
        with table_errors(_title(version)):
            found = self._open(version).to_table(columns=[KEY, ROW])
            return dict(zip(*(found[name].to_pylist() for name in (KEY, ROW)), strict=True))

    def verify(self, version: DatasetVersion) -> None:
        """Hash every row of a version where it lies.

        :raises IntegrityError: it is missing or altered.
        """
        with table_errors(_title(version)):
            data = self._open(version)
            names = sorted(_own(data.schema))
            rows = bytearray()
            for batch in data.to_batches(columns=names, batch_size=BATCH):
                rows += b"".join(row_digests(batch, names))
        _require(version, content_digest(names, bytes(rows)))

    def versions(self, name: str) -> list[DatasetVersion]:
        """Return every version of a dataset, oldest first."""
        with table_errors(f"dataset {name}"):
            latest = self.tables.open(name)
            numbers = [entry["version"] for entry in latest.versions()] if latest else []
            opened = [data for number in numbers if (data := self.tables.open(name, number))]
            return [_version(name, data, _stored_digest(data)) for data in opened]

    def process(self, version: DatasetVersion) -> dict[str, Any]:
        """Return what made a version."""
        with table_errors(_title(version)):
            properties = self._open(version).read_transaction(version.version).transaction_properties
        document: dict[str, Any] = json.loads(properties[PROCESS])
        return document

    def _open(self, version: DatasetVersion) -> "lance.LanceDataset":
        """Open a version whose row digests add up to its own; the content behind them is verified by ``verify``."""
        data = self.tables.open(version.name, version.version)
        if data is None:
            raise IntegrityError(f"The {_title(version)} is not in the store.", hint=HINT)
        _require(version, _stored_digest(data))
        return data

    def _write(self, name: str, table: "pa.Table", properties: dict[str, str], mode: str) -> DatasetVersion:
        import lance

        written = lance.write_dataset(
            table,
            self.tables.path(name),
            mode=mode,
            storage_options=self.tables.options,
            transaction_properties=properties,
        )
        return _version(name, written, properties[DIGEST])

    def _merge(
        self, name: str, latest: "lance.LanceDataset", table: "pa.Table", properties: dict[str, str]
    ) -> tuple[DatasetVersion, Change]:
        import lance

        merge = latest.merge_insert(KEY).when_matched_update_all(f"target.{ROW} <> source.{ROW}")
        merge = merge.when_not_matched_insert_all().when_not_matched_by_source_delete()
        transaction, counts = merge.execute_uncommitted(table.select(latest.schema.names))
        transaction.transaction_properties = properties
        written = lance.LanceDataset.commit(latest, transaction, storage_options=self.tables.options)
        change = Change(
            added=counts["num_inserted_rows"],
            changed=counts["num_updated_rows"],
            removed=counts["num_deleted_rows"],
        )
        return _version(name, written, properties[DIGEST]), change


HINT = "Run the version step again with cache=False."


def _require(version: DatasetVersion, found: str) -> None:
    if found != version.digest:
        raise IntegrityError(f"The {_title(version)} was altered: its rows hash to {short(found)}.", hint=HINT)


def _title(version: DatasetVersion) -> str:
    return f"dataset {version.name} version {version.version} ({short(version.digest)})"


def _version(name: str, data: "lance.LanceDataset", digest: str) -> DatasetVersion:
    return DatasetVersion(name=name, version=data.version, digest=digest, rows=data.count_rows())


def _own(schema: "pa.Schema") -> list[str]:
    return [name for name in schema.names if name != ROW]


def _columns(schema: "pa.Schema") -> dict[str, str]:
    return {field.name: str(field.type) for field in schema}


def _digest(table: "pa.Table") -> str:
    rows = b"".join(table.column(ROW).to_pylist())
    return content_digest(_own(table.schema), rows)


def _stored_digest(data: "lance.LanceDataset") -> str:
    rows = b"".join(data.to_table(columns=[ROW]).column(ROW).to_pylist())
    return content_digest(_own(data.schema), rows)


def _known(data: "lance.LanceDataset", columns: list[str] | None) -> list[str]:
    names = _own(data.schema)
    if unknown := [name for name in columns or () if name not in names]:
        raise UserError(f"The dataset has no column {', '.join(unknown)}.", hint=f"It has {', '.join(names)}.")
    return names if columns is None else columns


def open_datasets(uri: str) -> DatasetStore:
    """Open the datasets at ``file:///…`` or ``s3://…``."""
    return DatasetStore(Tables(uri))
