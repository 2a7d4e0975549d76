"""Cleaning: every sample is kept with its measures or dropped with its reason."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from airlock.data.files import written
from airlock.data.images import Picture, measure, open_image
from airlock.data.rules import ImageRule, LabelRule
from airlock.errors import SourceError

ROWS = 2000
MEASURES = (
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("mode", pa.string()),
    pa.field("bytes", pa.int64()),
    pa.field("mean", pa.float64()),
    pa.field("std", pa.float64()),
)


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """Why a sample was dropped."""

    sample_id: str
    source: str
    reason: str


def clean(
    samples: Path, target: Path, image: ImageRule, labels: LabelRule, report: Callable[[int, int, str], None]
) -> tuple[int, list[Dropped]]:
    """Copy the samples that keep both rules, with their measures added.

    :param samples: Parquet as ``ingest`` writes it.
    :param target: Parquet with the columns of :data:`MEASURES` besides.
    :return: number of samples kept, and those that were dropped.
    """
    dropped: list[Dropped] = []
    kept = 0
    with pq.ParquetFile(samples) as file:
        schema = pa.schema([*file.schema_arrow, *MEASURES])
        total, done = file.metadata.num_rows, 0
        with written(target), pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for batch in file.iter_batches(ROWS):
                table = _clean_batch(batch, image, labels, dropped)
                writer.write_table(table.cast(schema))
                kept, done = kept + table.num_rows, done + batch.num_rows
                report(done, total, "sample")
    return kept, dropped


def _clean_batch(batch: Any, image: ImageRule, labels: LabelRule, dropped: list[Dropped]) -> Any:
    pictures: list[Picture | None] = []
    for sample_id, source, label, content in _rows(batch):
        found = examine(content, label, image, labels)
        pictures.append(found if isinstance(found, Picture) else None)
        if not isinstance(found, Picture):
            dropped.append(Dropped(sample_id=sample_id, source=source, reason=found))
    kept = batch.filter(pa.array([picture is not None for picture in pictures]))
    return _with_measures(pa.Table.from_batches([kept]), [picture for picture in pictures if picture is not None])


def examine(content: bytes, label: str | None, image: ImageRule, labels: LabelRule) -> Picture | str:
    """Return a sample's measures, or the reason to drop it."""
    if reason := labels.violation(label):
        return reason
    try:
        opened = open_image(content)
        reason = image.violation(opened.width, opened.height, opened.mode)
        return reason or measure(opened)
    except SourceError as error:
        return error.message


def _rows(batch: Any) -> Iterator[tuple[Any, ...]]:
    columns = (batch.column(name).to_pylist() for name in ("sample_id", "source", "label", "content"))
    return zip(*columns, strict=True)


def _with_measures(table: Any, pictures: list[Picture]) -> Any:
    import pyarrow.compute as pc

    for field in MEASURES:
        if field.name == "bytes":
            values = pc.binary_length(table["content"])
        else:
            values = pa.array([getattr(picture, field.name) for picture in pictures], field.type)
        table = table.append_column(field, values.cast(field.type))
    return table
