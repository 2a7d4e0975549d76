"""Applying cleaners: every sample is kept with its measures, or dropped, and nothing changes in silence."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from airlock.data.cleaning.declaration import Cleaner
from airlock.data.cleaning.records import CHANGES, Change, Dropped, Records
from airlock.data.files import written
from airlock.data.rules import LabelRule
from airlock.data.samples import STREAM, Sample
from airlock.errors import DataRejected, SourceError, UserError
from airlock.model.usercode import Blame

ROWS = 500
TYPES = {"int32": pa.int32(), "int64": pa.int64(), "double": pa.float64(), "string": pa.string()}
LABELS = "classes"
REPEATED = "duplicates"


class Kept(msgspec.Struct, kw_only=True):
    """A sample that stays: its bytes, by stream (``""`` is the content), and what was measured."""

    sample_id: str
    contents: dict[str, bytes | None]
    measures: dict[str, Any]
    changed: bool = False


def clean(
    samples: Path, target: Path, cleaners: Sequence[Cleaner], labels: LabelRule, report: Callable[[int, int, str], None]
) -> Records:
    """Copy the samples that pass, changed where a cleaner says so, with their measures as further columns.

    A sample that was changed has a new content and so a new id; when that content is there already it is dropped.

    :param samples: Parquet as ``ingest`` writes it; the cleaned file has ``bytes`` and the cleaners' measures besides.
    :return: what was kept, dropped and changed; the records themselves lie beside the target.
    """
    with ExitStack() as stack:
        file = stack.enter_context(pq.ParquetFile(samples))
        stack.enter_context(written(target.parent / CHANGES))
        records = stack.enter_context(Records(target.parent))
        schema = _schema(file.schema_arrow, cleaners)
        stack.enter_context(written(target))
        writer = stack.enter_context(pq.ParquetWriter(target, schema, compression="zstd"))
        work = Cleaning(cleaners, labels, records, file.schema_arrow)
        total, done = file.metadata.num_rows, 0
        for batch in file.iter_batches(ROWS):
            writer.write_table(work.batch(batch, schema))
            done += batch.num_rows
            report(done, total, "sample")
    return records


class Cleaning:
    """The state of one pass over the samples.

    :param schema: of the samples before cleaning.
    """

    def __init__(self, cleaners: Sequence[Cleaner], labels: LabelRule, records: Records, schema: pa.Schema) -> None:
        self.cleaners = cleaners
        self.labels = labels
        self.records = records
        self.columns = {"": "content"}
        self.columns |= {name.removeprefix(STREAM): name for name in schema.names if name.startswith(STREAM)}
        self._seen: set[bytes] = set()
        _check_streams(cleaners, self.columns)

    def batch(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
        """Return the rows of a batch that stay."""
        kept = [self.sample(row) for row in batch.to_pylist()]
        table = pa.Table.from_batches([batch.filter(pa.array([item is not None for item in kept], pa.bool_()))])
        left = [item for item in kept if item is not None]
        if any(item.changed for item in left):
            table = self._rewritten(table, left)
        for field in list(schema)[table.num_columns :]:
            table = table.append_column(field, pa.array([item.measures.get(field.name) for item in left], field.type))
        return table.cast(schema)

    def sample(self, row: dict[str, Any]) -> Kept | None:
        """Clean one sample; ``None`` when it is dropped, which is on record then."""
        if reason := self.labels.violation(row["label"]):
            self._drop(row, LABELS, reason)
            return None
        contents = {stream: row[column] for stream, column in self.columns.items()}
        kept = Kept(sample_id=row["sample_id"], contents=contents, measures={})
        done: list[tuple[str, str]] = []
        for cleaner in self.cleaners:
            content = contents[cleaner.stream]
            if content is None:
                continue
            try:
                with Blame(f"The cleaner {cleaner.name} failed on {row['source']}", hint=CODE):
                    cleaned = cleaner(content, row["source"])
            except (SourceError, DataRejected) as error:
                self._drop(row, cleaner.name, error.message)
                return None
            contents[cleaner.stream] = cleaned.content
            kept.measures.update(cleaned.measures)
            done += [(cleaner.name, what) for what in cleaned.changes]
        return self._finish(row, kept, done)

    def _finish(self, row: dict[str, Any], kept: Kept, done: list[tuple[str, str]]) -> Kept | None:
        kept.measures["bytes"] = sum(len(content) for content in kept.contents.values() if content is not None)
        if done:
            kept.changed = True
            kept.sample_id = _identify(row["source"], kept.contents)
        key = hashlib.sha256(kept.sample_id.encode()).digest()[:16]
        if key in self._seen:
            self._drop(row, REPEATED, f"after cleaning it is the same as another sample ({kept.sample_id[:12]})")
            return None
        self._seen.add(key)
        self.records.kept += 1
        for name, what in done:
            change = Change(
                before=row["sample_id"], after=kept.sample_id, source=row["source"], cleaner=name, what=what
            )
            self.records.change(change)
        return kept

    def _drop(self, row: dict[str, Any], cleaner: str, reason: str) -> None:
        self.records.drop(Dropped(sample_id=row["sample_id"], source=row["source"], cleaner=cleaner, reason=reason))

    def _rewritten(self, table: pa.Table, kept: list[Kept]) -> pa.Table:
        """Put changed contents and ids in place of what they were."""
        for stream, column in self.columns.items():
            place = table.schema.get_field_index(column)
            contents = pa.array([item.contents[stream] for item in kept], table.schema.field(column).type)
            table = table.set_column(place, table.schema.field(column), contents)
        place = table.schema.get_field_index("sample_id")
        return table.set_column(place, table.schema.field(place), pa.array([item.sample_id for item in kept]))


CODE = "Correct the cleaner; to drop a sample it raises SourceError or DataRejected with the reason."


def _identify(source: str, contents: dict[str, bytes | None]) -> str:
    streams = {name: content for name, content in contents.items() if name and content is not None}
    return Sample(source=source, content=contents[""] or b"", streams=streams).sample_id


def _schema(before: pa.Schema, cleaners: Sequence[Cleaner]) -> pa.Schema:
    measures: dict[str, str] = {"bytes": "int64"}
    for cleaner in cleaners:
        measures |= cleaner.measures
    if taken := sorted(measures.keys() & set(before.names)):
        raise UserError(
            f"A cleaner measures {taken[0]!r}, which is a column of every sample.",
            hint="Give the measure another name.",
        )
    return pa.schema([*before, *(pa.field(name, TYPES[kind]) for name, kind in measures.items())])


def _check_streams(cleaners: Sequence[Cleaner], streams: dict[str, str]) -> None:
    for cleaner in cleaners:
        if cleaner.stream not in streams:
            raise UserError(
                f"The cleaner {cleaner.name} is for the stream {cleaner.stream!r}, which these samples do not have.",
                hint=f"Their streams: {', '.join(name for name in streams if name) or 'none'}.",
            )
