"""What training may see of a dataset version: the contents of train and validation, in the open artifact store.

The price of sealing: these contents are stored twice, compressed. The view is found by what it follows from, dataset
version and split, so that no manifest has to name it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from airlock.data.files import written
from airlock.digests import PREFIX
from airlock.errors import IntegrityError
from airlock.references import Artifact, DatasetVersion
from airlock.stores.artifacts import ArtifactStore

if TYPE_CHECKING:
    import pyarrow as pa

    from airlock.stores.datasets import DatasetStore

PARQUET = "application/vnd.apache.parquet"
SEEN = ("train", "validation")
BATCH = 4096


class TrainingView:
    """The view of one split of one dataset version.

    :param dataset: digest of the dataset version.
    :param split: digest of the split.
    """

    def __init__(self, artifacts: ArtifactStore, dataset: str, split: str) -> None:
        self.artifacts = artifacts
        self.name = f"training/{dataset.removeprefix(PREFIX)}/{split.removeprefix(PREFIX)}.json"

    def write(self, rows: "pa.RecordBatchReader", workdir: Path) -> Artifact:
        """Store the rows; return the Parquet file they became."""
        import pyarrow.parquet as pq

        path = workdir / "training.parquet"
        with written(path), pq.ParquetWriter(path, rows.schema, compression="zstd") as writer:
            for batch in rows:
                writer.write_batch(batch)
        stored = self.artifacts.put_file(path, PARQUET)
        self.artifacts.replace_document(self.name, msgspec.json.encode(stored))
        return stored

    def find(self) -> Artifact:
        """Return the Parquet file.

        :raises IntegrityError: there is none.
        """
        document = self.artifacts.document(self.name)
        if document is None:
            raise IntegrityError(
                "The open store has no training view of this dataset version and split.",
                hint="Run the split step again with cache=False: it writes what training may see.",
            )
        return msgspec.json.decode(document, type=Artifact)


def contents(
    split: "pa.Table", datasets: "DatasetStore", dataset: DatasetVersion, report: Callable[[int, int], None]
) -> "pa.RecordBatchReader":
    """Stream id, split, content and streams of what training may see, ordered by id.

    :param split: columns sample_id and split, ordered by id.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    seen = split.filter(pc.is_in(split["split"], value_set=pa.array(SEEN)))
    names = [name for name in columns_of(datasets, dataset) if name == "content" or name.startswith("stream_")]

    def batches() -> "Iterator[pa.RecordBatch]":
        for start in range(0, seen.num_rows, BATCH):
            part = seen.slice(start, BATCH)
            found = datasets.take(dataset, part["sample_id"].to_pylist(), ["sample_id", *names]).sort_by("sample_id")
            report(min(start + BATCH, seen.num_rows), seen.num_rows)
            columns = [part["sample_id"], part["split"], *(found[name] for name in names)]
            arrays = [column.cast(field.type) for column, field in zip(columns, schema, strict=True)]
            yield from pa.Table.from_arrays(arrays, schema=schema).to_batches()

    schema = pa.schema([("sample_id", pa.string()), ("split", pa.string()), *((name, pa.binary()) for name in names)])
    return pa.RecordBatchReader.from_batches(schema, batches())


def columns_of(datasets: "DatasetStore", dataset: DatasetVersion) -> list[str]:
    """Return the names of a dataset version's columns."""
    return list(datasets.open(dataset).schema.names)
