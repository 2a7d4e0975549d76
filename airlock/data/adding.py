"""From a source straight to a dataset version, and again when the source has changed: only what changed is read.

What was added from a source is remembered beside the dataset: name and fingerprint (size and date) of every object,
and its sample. An object whose fingerprint is the same, and that had been at rest for a while, is not read again, as
DVC and Git do it. Whenever that is not enough to be sure, everything is read.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.data.download import Report
from airlock.data.remembered import Remembered, compare, decode, encode, objects
from airlock.data.samples import STREAM, Sample, batch_of
from airlock.data.sources.source import Listed, Samples, Source
from airlock.digests import digest_document
from airlock.errors import InfrastructureError, SourceError
from airlock.references import DatasetVersion
from airlock.stores.rows import ROW, SIZE, row_digests

if TYPE_CHECKING:
    import pyarrow as pa

    from airlock.stores.datasets import Change, DatasetStore

REST = 2.0  # seconds: a file written within a clock tick of its listing could change again unseen
WORKERS, CHUNK, BATCH_BYTES = 2, 32, 8 << 20
# Labels are no part of a dataset version: they can change while the samples stay.
LABEL_COLUMNS = ("label", "origin")


def add(
    store: "DatasetStore", name: str, source: Source, workdir: Path, report: Report
) -> tuple[DatasetVersion, "Change"]:
    """Make what a source holds the newest version of a dataset; the labels it knows are left to the version step.

    :raises SourceError: it cannot be read, or holds nothing.
    """
    process: dict[str, Any] = {"added": msgspec.to_builtins(source)}
    with source.open(workdir, report) as samples:
        if not len(samples):
            raise SourceError("The source is empty: it holds no sample.", hint="Check its location.")
        if not isinstance(samples, Listed) or samples.remote:
            return _through_parquet(store, name, samples, workdir, report, process)
        return _Adding(store, name, samples, report, process).run()


class _Adding:
    """A folder, or another source whose objects are at hand."""

    def __init__(
        self, store: "DatasetStore", name: str, samples: Listed, report: Report, process: dict[str, Any]
    ) -> None:
        self.store, self.name, self.samples, self.report, self.process = store, name, samples, report, process
        self.items = samples.items
        self.listed = time.time()
        self.key = f"{name}.airlock/added/{digest_document(process).removeprefix('sha256:')}"
        self.unchanged = objects()
        self.ids: dict[str, str] = {}  # of what is read now
        self.repeated = False

    def run(self) -> tuple[DatasetVersion, "Change"]:
        done = self._only_changes() or self._everything()
        self._remember(done[0])
        return done

    def _everything(self) -> tuple[DatasetVersion, "Change"]:
        self.ids, self.unchanged = {}, objects()
        return self.store.commit(self.name, self._stream(range(len(self.items))), self.process, hashed=True)

    def _only_changes(self) -> "tuple[DatasetVersion, Change] | None":
        """Return what came of reading only new and changed objects; ``None`` when all must be read."""
        import pyarrow as pa
        import pyarrow.compute as pc

        known = decode(self.store.tables.objects.read(self.key) or b"")
        if known is None or known.digest != (base := self.store.latest(self.name)).digest:
            return None
        new, self.unchanged, gone = compare(known.objects, self.items)
        if pc.count_distinct(known.objects["sample_id"]).as_py() < len(known.objects) or not len(self.unchanged):
            return None  # one content in several files: which of them counts is known only when all are read
        batches = list(self._batches(new))
        came = pa.array(self.ids.values(), pa.string())
        if self.repeated or pc.any(pc.is_in(came, value_set=self.unchanged["sample_id"])).as_py():
            return None
        try:
            return self.store.patch(base, batches, gone, self.process, hashed=True)
        except InfrastructureError:
            return None  # somebody else committed meanwhile

    def _stream(self, numbers: Sequence[int]) -> "pa.RecordBatchReader":
        import pyarrow as pa

        columns = schema(getattr(self.samples, "streams", ())).append(pa.field(ROW, pa.binary(SIZE)))
        return pa.RecordBatchReader.from_batches(columns, self._batches(numbers))

    def _batches(self, numbers: Sequence[int]) -> "Iterator[pa.RecordBatch]":
        """Read samples, two at a time, each content once."""
        columns = schema(getattr(self.samples, "streams", ()))
        seen, held, size = set[str](), list[tuple[str, Sample]](), 0
        for sample_id, sample in self._read(numbers):
            self.ids[sample.source] = sample_id
            if sample_id in seen:
                self.repeated = True
                continue
            seen.add(sample_id)
            held.append((sample_id, sample))
            size += len(sample.content)
            if size >= BATCH_BYTES:
                yield _hashed(held, columns)
                held, size = [], 0
        if held:
            yield _hashed(held, columns)

    def _read(self, numbers: Sequence[int]) -> Iterator[tuple[str, Sample]]:
        waiting: deque[Future[list[tuple[str, Sample]]]] = deque()
        chunks = (numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK))
        done = 0
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="read-samples") as pool:
            for chunk in chunks:
                waiting.append(pool.submit(self._read_chunk, chunk))
                if len(waiting) > 2 * WORKERS:
                    yield from waiting.popleft().result()
                    done += CHUNK
                    if done % (CHUNK * 100) == 0:
                        self.report(done, len(numbers), "sample")
            while waiting:
                yield from waiting.popleft().result()

    def _read_chunk(self, numbers: Sequence[int]) -> list[tuple[str, Sample]]:
        read = (self.samples[number] for number in numbers)
        return [(sample.sample_id, sample) for sample in read]

    def _remember(self, version: DatasetVersion) -> None:
        import pyarrow as pa

        rested = self.listed - REST
        read = objects(
            (item.name, item.fingerprint, self.ids[item.name], item.modified < rested)
            for item in self.items
            if item.name in self.ids
        )
        remembered = Remembered(version.digest, pa.concat_tables([self.unchanged, read]))
        self.store.tables.objects.replace(self.key, encode(remembered))


def schema(streams: Iterable[str] = ()) -> "pa.Schema":
    """Return the columns of a version that was added: those of ingested samples, without the labels."""
    import pyarrow as pa

    from airlock.data.samples import sample_schema

    return pa.schema([field for field in sample_schema(streams) if field.name not in LABEL_COLUMNS])


def _hashed(held: list[tuple[str, Sample]], columns: "pa.Schema") -> "pa.RecordBatch":
    """Return samples with the digests of their rows."""
    import pyarrow as pa

    batch = batch_of(held, columns)
    # A sample without streams is known by the sha256 of its content: no content is hashed twice.
    known = {} if _streams(columns) else {"content": [bytes.fromhex(sample_id) for sample_id, _ in held]}
    digests = row_digests(batch, sorted(columns.names), known)
    return batch.append_column(pa.field(ROW, pa.binary(SIZE)), pa.array(digests, pa.binary(SIZE)))


def _streams(columns: "pa.Schema") -> list[str]:
    return [name for name in columns.names if name.startswith(STREAM)]


def _through_parquet(
    store: "DatasetStore", name: str, samples: Samples, workdir: Path, report: Report, process: dict[str, Any]
) -> tuple[DatasetVersion, "Change"]:
    """Every other source goes the way of the ingest step."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from airlock.data.ingestion import write_samples

    target = workdir / "samples.parquet"
    write_samples(samples, target, 0, report)
    with pq.ParquetFile(target) as file:
        names = [each for each in file.schema_arrow.names if each not in LABEL_COLUMNS]
        columns = pa.schema([file.schema_arrow.field(each) for each in names])
        return store.commit(
            name, pa.RecordBatchReader.from_batches(columns, file.iter_batches(256, columns=names)), process
        )
