"""Samples on their way from a source to a dataset: one row of a Parquet file each, every content once."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.digests import canonical, digest_bytes, digest_document
from airlock.errors import SourceError

if TYPE_CHECKING:
    import pyarrow as pa


STREAM = "stream_"
Value = str | int | float | bool | None


class Sample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One sample as its source holds it.

    :param source: path inside the source.
    :param content: the bytes as found: an encoded image, a text, an audio file; PNG for arrays, canonical JSON for
        the row of a table.
    :param label: known label, ``None`` when the source has none.
    :param origin: where the label is from.
    :param split: ``train`` or ``test`` when the source says so.
    :param group: samples of one group never straddle splits (a patient, a scene).
    :param metadata: what else the source knows about it.
    :param streams: further encoded contents by name, for multi-stream samples.
    """

    source: str
    content: bytes
    label: str | None = None
    origin: str | None = None
    split: str | None = None
    group: str | None = None
    metadata: dict[str, Value] = {}
    streams: dict[str, bytes] = {}

    @property
    def sample_id(self) -> str:
        """64 hex digits: the sha256 of the content; with streams, of the digests of the content and of each stream."""
        if not self.streams:
            return hashlib.sha256(self.content).hexdigest()
        parts = {name: digest_bytes(data) for name, data in self.streams.items()}
        return digest_document([digest_bytes(self.content), parts]).removeprefix("sha256:")


class SampleWriter:
    """Writes samples to a Parquet file in row groups; a content that came before is counted, not written.

    :param path: the file.
    :param group_bytes: content bytes held in memory before a row group is written.
    :param streams: names of the streams that samples may have besides their content.
    """

    def __init__(self, path: Path, group_bytes: int = 32 << 20, streams: Iterable[str] = ()) -> None:
        import pyarrow.parquet as pq

        self.group_bytes = group_bytes
        self.duplicates = 0
        self.conflicts: list[str] = []
        self._labels: dict[str, str | None] = {}
        self._held: list[tuple[str, Sample]] = []
        self._held_bytes = 0
        self.streams = tuple(streams)
        self._schema = sample_schema(self.streams)
        # Our own handle: a writer that failed on a full disk keeps the one it opened until it is collected.
        self._handle = path.open("wb")
        self._file = pq.ParquetWriter(self._handle, self._schema, compression="zstd")

    @property
    def rows(self) -> int:
        """Number of different contents so far."""
        return len(self._labels)

    def add(self, sample: Sample) -> None:
        """Take one sample.

        :raises SourceError: it has a stream that was not declared.
        """
        self._check_streams(sample)
        sample_id = sample.sample_id
        if sample_id in self._labels:
            self._repeated(sample, self._labels[sample_id])
            return
        self._labels[sample_id] = sample.label
        self._held.append((sample_id, sample))
        self._held_bytes += len(sample.content) + sum(map(len, sample.streams.values()))
        if self._held_bytes >= self.group_bytes:
            self._flush()

    def _check_streams(self, sample: Sample) -> None:
        if unknown := sorted(sample.streams.keys() - set(self.streams)):
            raise SourceError(
                f"{sample.source} has the stream {unknown[0]!r}, which its source does not declare"
                f" ({', '.join(self.streams) or 'it declares none'}).",
                hint="Declare every stream before the first sample.",
            )

    def _repeated(self, sample: Sample, label: str | None) -> None:
        self.duplicates += 1
        if sample.label != label:
            self.conflicts.append(f"{sample.source} ({sample.label}, first seen as {label})")

    def _flush(self) -> None:
        self._file.write_batch(batch_of(self._held, self._schema))
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


def sample_schema(streams: Iterable[str] = ()) -> "pa.Schema":
    """Return the columns that ``ingest`` writes, with one more for each stream."""
    import pyarrow as pa

    text = ("label", "origin", "source", "source_split", "group", "metadata")
    columns = [("sample_id", pa.string()), ("content", pa.binary()), *((name, pa.string()) for name in text)]
    return pa.schema(columns + [(STREAM + name, pa.binary()) for name in streams])


def batch_of(held: Sequence[tuple[str, Sample]], schema: "pa.Schema") -> "pa.RecordBatch":
    """Return samples, each with its id, as rows of :func:`sample_schema` or of some of its columns."""
    import pyarrow as pa

    columns = [pa.array(_column(field.name, held), field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _column(name: str, held: Sequence[tuple[str, Sample]]) -> list[Any]:
    if name in COLUMNS:
        value = COLUMNS[name]
        return [value(sample) for _, sample in held]
    if name == "sample_id":
        return [sample_id for sample_id, _ in held]
    stream = name.removeprefix(STREAM)
    return [sample.streams.get(stream) for _, sample in held]


def _origin(sample: Sample) -> str | None:
    return None if sample.label is None else sample.origin


def _metadata(sample: Sample) -> str | None:
    return canonical(sample.metadata).decode() if sample.metadata else None


COLUMNS: dict[str, Callable[[Sample], Any]] = {
    "content": attrgetter("content"),
    "label": attrgetter("label"),
    "origin": _origin,
    "source": attrgetter("source"),
    "source_split": attrgetter("split"),
    "group": attrgetter("group"),
    "metadata": _metadata,
}
