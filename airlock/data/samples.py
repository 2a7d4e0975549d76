"""Samples on their way from a source to a dataset: one row of a Parquet file each, every content once."""

import hashlib
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One sample as its source holds it.

    :param source: path inside the source.
    :param content: encoded image bytes, as found; PNG for arrays.
    :param label: known label, ``None`` when the source has none.
    :param origin: where the label is from.
    :param split: ``train`` or ``test`` when the source says so.
    """

    source: str
    content: bytes
    label: str | None = None
    origin: str | None = None
    split: str | None = None

    @property
    def sample_id(self) -> str:
        """64 hex digits: the sha256 of the content."""
        return hashlib.sha256(self.content).hexdigest()


class SampleWriter:
    """Writes samples to a Parquet file in row groups; a content that came before is counted, not written.

    :param path: the file.
    :param group_bytes: content bytes held in memory before a row group is written.
    """

    def __init__(self, path: Path, group_bytes: int = 32 << 20) -> None:
        import pyarrow.parquet as pq

        self.group_bytes = group_bytes
        self.duplicates = 0
        self.conflicts: list[str] = []
        self._labels: dict[str, str | None] = {}
        self._held: list[dict[str, str | bytes | None]] = []
        self._held_bytes = 0
        self._schema = sample_schema()
        # Our own handle: a writer that failed on a full disk keeps the one it opened until it is collected.
        self._handle = path.open("wb")
        self._file = pq.ParquetWriter(self._handle, self._schema, compression="zstd")

    @property
    def rows(self) -> int:
        """Number of different contents so far."""
        return len(self._labels)

    def add(self, sample: Sample) -> None:
        """Take one sample."""
        sample_id = sample.sample_id
        if sample_id in self._labels:
            self._repeated(sample, self._labels[sample_id])
            return
        self._labels[sample_id] = sample.label
        self._held.append(_row(sample_id, sample))
        self._held_bytes += len(sample.content)
        if self._held_bytes >= self.group_bytes:
            self._flush()

    def _repeated(self, sample: Sample, label: str | None) -> None:
        self.duplicates += 1
        if sample.label != label:
            self.conflicts.append(f"{sample.source} ({sample.label}, first seen as {label})")

    def _flush(self) -> None:
        import pyarrow as pa

        self._file.write_table(pa.Table.from_pylist(self._held, schema=self._schema))
        self._held, self._held_bytes = [], 0

    def __enter__(self) -> "SampleWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with self._handle:
            if kind is None and self._held:
                self._flush()
            self._file.close()


def sample_schema() -> "pa.Schema":
    """Return the columns that ``ingest`` writes."""
    import pyarrow as pa

    text = ("label", "origin", "source", "source_split")
    columns = [("sample_id", pa.string()), ("content", pa.binary()), *((name, pa.string()) for name in text)]
    return pa.schema(columns)


def _row(sample_id: str, sample: Sample) -> dict[str, str | bytes | None]:
    return {
        "sample_id": sample_id,
        "content": sample.content,
        "label": sample.label,
        "origin": sample.origin if sample.label is not None else None,
        "source": sample.source,
        "source_split": sample.split,
    }
