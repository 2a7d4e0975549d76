"""The store: versions are written, read and verified here; what else can be done with them lies beside."""

from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airlock.digests import short
from airlock.errors import IntegrityError, UserError
from airlock.references import DatasetVersion
from airlock.stores.datasets import history
from airlock.stores.datasets.appending import Appender
from airlock.stores.datasets.commits import commit, patch
from airlock.stores.datasets.history import HINT, Change, Entry, computed, digest_of, own, title, version_of
from airlock.stores.datasets.privacy import forgotten_rows
from airlock.stores.datasets.reading import Reader, hashed, known_columns
from airlock.stores.datasets.writing import KEY
from airlock.stores.rows import ROW, content_digest
from airlock.stores.tables import Tables, table_errors

if TYPE_CHECKING:
    import lance
    import pyarrow as pa

    from airlock.stores.datasets.changes import Diff, Merge
    from airlock.stores.datasets.garbage import Collected
    from airlock.stores.datasets.privacy import Tombstone


class DatasetStore:
    """Datasets, by name; ``name@branch`` is a branch of one.

    :param tables: where they lie.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._appender = Appender(tables)

    def commit(
        self, name: str, rows: "pa.Table | pa.RecordBatchReader", process: dict[str, Any], *, hashed: bool = False
    ) -> tuple[DatasetVersion, Change]:
        """Make rows the newest version of a dataset; the same content again is the same version, unwritten.

        Samples are known by ``sample_id``; those that the rows no longer have are not in the new version.

        :param rows: a table, or a stream, of which a few megabytes at a time are in memory.
        :param process: what made the rows, kept with the version.
        :param hashed: the rows carry their digests, as :func:`airlock.stores.rows.row_digests` makes them.
        :raises UserError: there are no rows, or a sample id is missing or there twice.
        :raises InfrastructureError: another run published meanwhile; a table is committed again by itself.
        """
        with table_errors(f"dataset {name}"):
            return commit(self.tables, name, rows, process, hashed=hashed)

    def patch(
        self,
        base: DatasetVersion,
        rows: "list[pa.RecordBatch]",
        removed: Iterable[str],
        process: dict[str, Any],
        *,
        hashed: bool = False,
    ) -> tuple[DatasetVersion, Change]:
        """Make the newest version's successor of what changed only: for those who know what did.

        :param rows: new samples, and known ones with other values.
        :param removed: sample ids that go.
        :param hashed: as in :meth:`commit`.
        :raises InfrastructureError: ``base`` is no longer the newest version, or has other columns.
        """
        with table_errors(f"dataset {base.name}"):
            return patch(self.tables, base, rows, removed, process, hashed=hashed)

    def append(
        self, name: str, rows: "pa.Table | pa.RecordBatchReader", process: dict[str, Any], *, replace: bool = False
    ) -> tuple[DatasetVersion, Change]:
        """Add a batch that fits into memory; any number of writers may do so at once, and nothing is lost.

        The batch is known by the digest of its content: a writer that does not know whether it was killed before or
        after, appends it again, and it is there once.

        :param replace: a sample id that is there with other values gets the batch's.
        :raises UserError: a sample id is there with other values, or the columns are others.
        """
        with table_errors(f"dataset {name}"):
            return self._appender.append(name, rows, process, replace=replace)

    def read(self, version: DatasetVersion, columns: list[str] | None = None) -> "pa.Table":
        """Return a version's rows.

        :param columns: only these; by default all.
        :raises IntegrityError: it is missing, or its rows are not those of its digest.
        :raises UserError: it has no such column.
        """
        with table_errors(title(version)):
            data = self._checked(version)
            return data.to_table(columns=known_columns(data, columns))

    def batches(self, version: DatasetVersion, columns: list[str] | None = None) -> Iterator["pa.RecordBatch"]:
        """Yield a version's rows in batches, checked as :meth:`read` does."""
        with table_errors(title(version)):
            data = self._checked(version)
            yield from data.to_batches(columns=known_columns(data, columns), batch_size=1024)

    def take(
        self,
        version: DatasetVersion,
        sample_ids: Iterable[str],
        columns: list[str] | None = None,
        *,
        check: bool = True,
    ) -> "pa.Table":
        """Return the rows with these sample ids, in no particular order.

        :param check: hash every returned row. Who verified the version before, as the runner does with what a step is
            given, and reads many rows at random, can do without.
        :raises IntegrityError: the version is missing, or a row is not what its digest says.
        """
        with table_errors(title(version)):
            return Reader(version, self.open(version)).take(sample_ids, columns, check=check)

    def reader(self, version: DatasetVersion) -> Reader:
        """Open a version for one job that reads at random many times; its index (72 bytes a sample) stays in memory."""
        with table_errors(title(version)):
            return Reader(version, self.open(version))

    def digests(self, version: DatasetVersion) -> dict[str, bytes]:
        """Return the digest of each row by sample id, without reading any content."""
        with table_errors(title(version)):
            found = self._checked(version).to_table(columns=[KEY, ROW])
            return dict(zip(*(found[name].to_pylist() for name in (KEY, ROW)), strict=True))

    def verify(self, version: DatasetVersion) -> None:
        """Hash every row of a version where it lies.

        :raises IntegrityError: it is missing or altered.
        """
        with table_errors(title(version)):
            data = self.open(version)
            names = sorted(own(data.schema))
            rows = b"".join(hashed(data.to_batches(columns=names, batch_size=1024), names))
            self._require(version, data, content_digest(names, rows))

    def versions(self, name: str) -> list[DatasetVersion]:
        """Return every version of a dataset that is still kept, oldest first."""
        with table_errors(f"dataset {name}"):
            latest = self.tables.open(name)
            return [version_of(name, data) for data in self._opened(name, latest)] if latest else []

    def log(self, name: str) -> list[Entry]:
        """Return the history of a dataset, newest first: who made each version, when, and by which process."""
        with table_errors(f"dataset {name}"):
            latest = self.tables.open(name)
            return history.log(name, latest, self._opened(name, latest)) if latest else []

    def latest(self, name: str) -> DatasetVersion:
        """Return the newest version.

        :raises UserError: there is no such dataset or branch.
        """
        with table_errors(f"dataset {name}"):
            return version_of(name, self._latest(name))

    def process(self, version: DatasetVersion) -> dict[str, Any]:
        """Return what made a version."""
        with table_errors(title(version)):
            return history.process_of(self.open(version))

    def names(self) -> list[str]:
        """Return the names of all datasets, sorted."""
        return self.tables.names()

    def tag(self, version: DatasetVersion, tag: str) -> None:
        """Give a version a name; a tagged version is never collected.

        :raises UserError: another version has that tag.
        """
        from airlock.stores.datasets.naming import tag as give

        with table_errors(title(version)):
            give(self.open(version), version, tag)

    def resolve(self, text: str) -> DatasetVersion:
        """Return the version that people name ``dataset``, ``dataset:7``, ``dataset:tag`` or ``dataset@branch``.

        :raises UserError: there is none.
        """
        from airlock.stores.datasets.naming import resolve

        with table_errors(f"dataset {text}"):
            return resolve(self.tables, text)

    def branch(self, version: DatasetVersion, branch: str) -> DatasetVersion:
        """Begin a branch at a version, without copying; return its first version.

        :raises UserError: the branch is there already, or the version lies on a branch itself.
        """
        from airlock.stores.datasets.naming import branch as begin

        with table_errors(title(version)):
            return begin(self.tables, self.open(version), version, branch)

    def branches(self, name: str) -> list[str]:
        """Return the names of a dataset's branches, as ``dataset@branch``, sorted."""
        from airlock.stores.datasets.naming import branches

        with table_errors(f"dataset {name}"):
            return branches(self._latest(name), name)

    def diff(self, before: DatasetVersion, after: DatasetVersion) -> "Diff":
        """Say what differs between two versions: samples, and the columns in which they do."""
        from airlock.stores.datasets.changes import diff

        with table_errors(title(after)):
            return diff(self._checked(before), self._checked(after))

    def merge(self, source: str, target: str, process: dict[str, Any]) -> "Merge":
        """Bring what changed on a branch into another line of the same dataset.

        Nothing is published when both lines changed the same sample differently: the report names each.

        :param source: for example ``news@relabelled``; likewise ``target``.
        """
        from airlock.stores.datasets.changes import merge

        with table_errors(f"dataset {target}"):
            return merge(self, source, target, process)

    def checkout(self, version: DatasetVersion, folder: Path) -> int:
        """Write a version into an empty folder, files named by their source, the rest in ``metadata.jsonl``."""
        from airlock.stores.datasets.checkout import checkout

        return checkout(self.batches(version), folder)

    def forget(self, name: str, sample_ids: Iterable[str], reason: str, who: str = "") -> "list[Tombstone]":
        """Delete samples for privacy: from the newest versions, and their bytes from every file of every version.

        :raises UserError: no version has such a sample, or no reason is given.
        """
        from airlock.stores.datasets.privacy import forget

        with table_errors(f"dataset {name}"):
            return forget(self.tables, name, list(sample_ids), reason, who or history.user())

    def tombstones(self, name: str) -> "list[Tombstone]":
        """Return what is left of the samples that were deleted for privacy."""
        from airlock.stores.datasets.privacy import tombstones

        return tombstones(self.tables, name)

    def collect_garbage(self, name: str, keep: Container[str], older_than: float, *, dry: bool = False) -> "Collected":
        """Remove versions that nobody refers to, and files that only they or killed writers left.

        :param keep: digests of versions that something refers to; tagged ones and the newest are kept anyway.
        :param older_than: only versions made so many seconds ago.
        :param dry: only say what would go.
        """
        from airlock.stores.datasets.garbage import collect

        with table_errors(f"dataset {name}"):
            return collect(self.tables, name, keep, older_than, dry=dry)

    def open(self, version: DatasetVersion) -> "lance.LanceDataset":
        """Open a version that was written with this digest; no row is read.

        That what lies there adds up to it is checked by whoever reads: all row digests by :meth:`read` and
        :meth:`digests`, the rows it returns by :meth:`take`, every byte by :meth:`verify`.
        """
        data = self.tables.open(version.name, version.version)
        if data is None:
            raise IntegrityError(f"The {title(version)} is not in the store.", hint=HINT)
        self._require(version, data, digest_of(data))
        return data

    def _checked(self, version: DatasetVersion) -> "lance.LanceDataset":
        data = self.open(version)
        self._require(version, data, computed(data))
        return data

    def _require(self, version: DatasetVersion, data: "lance.LanceDataset", found: str) -> None:
        if found == version.digest:
            return
        if lost := forgotten_rows(self.tables, version, data):
            raise lost
        raise IntegrityError(f"The {title(version)} was altered: its rows hash to {short(found)}.", hint=HINT)

    def _latest(self, name: str) -> "lance.LanceDataset":
        data = self.tables.open(name)
        if data is None:
            raise UserError(f"There is no dataset {name}.", hint="`airlock data list` names them.")
        return data

    def _opened(self, name: str, latest: "lance.LanceDataset") -> "Iterator[lance.LanceDataset]":
        numbers = (entry["version"] for entry in latest.versions())
        opened = (data for number in numbers if (data := self.tables.open(name, number)))
        # The first version of a dataset that began with a batch is only its columns.
        return (data for data in opened if history.recorded(data) or data.count_rows())


def open_datasets(uri: str) -> DatasetStore:
    """Open the datasets at ``file:///…`` or ``s3://…``."""
    return DatasetStore(Tables(uri))
