"""Commit samples as a dataset version, and the labels that came with them as a label set."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.references import Artifact, DatasetVersion, LabelSet
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from airlock.stores.labels import Answer

ENVIRONMENT = ("pyarrow", "pylance")
SEALED = True
# Labels are no part of a dataset version: they can change while the samples stay.
LABEL_COLUMNS = ["label", "origin"]
ANNOTATOR = "source"
BATCH = 256


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to commit.

    :param samples: Parquet as ``clean`` writes it.
    :param dataset: name of the dataset.
    :param process: what made this version, kept with it.
    """

    samples: Artifact
    dataset: str
    process: dict[str, Any] = {}


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """The version.

    :param added: samples the version before did not have; likewise ``changed`` and ``removed``.
    """

    dataset: DatasetVersion
    labels: LabelSet
    added: int
    changed: int
    removed: int


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Commit as a stream; content that was committed before gives the same version again."""
    import pyarrow.parquet as pq

    from airlock.stores.labels import LabelStore

    with pq.ParquetFile(context.fetch(inputs.samples, "samples.parquet")) as file:
        dataset, change = context.datasets.commit(inputs.dataset, _unlabelled(file), inputs.process | _made(context))
        known = file.read(columns=["sample_id", *LABEL_COLUMNS])
    answers = known_labels(known)
    if change.forgotten:  # nobody speaks of what was deleted for privacy
        there = context.datasets.digests(dataset)
        answers = (answer for answer in answers if answer.sample_id in there)
    store = LabelStore(context.database)
    store.record(dataset.digest, answers)
    labels = store.resolve(dataset)
    for name in ("added", "changed", "removed", "forgotten"):
        context.metric(name, getattr(change, name))
    return Outputs(dataset=dataset, labels=labels, added=change.added, changed=change.changed, removed=change.removed)


def _unlabelled(file: "pq.ParquetFile") -> "pa.RecordBatchReader":
    """Return the samples as a stream, without their labels."""
    import pyarrow as pa

    names = [name for name in file.schema_arrow.names if name not in LABEL_COLUMNS]
    schema = pa.schema([file.schema_arrow.field(name) for name in names])
    return pa.RecordBatchReader.from_batches(schema, file.iter_batches(BATCH, columns=names))


def _made(context: StepContext) -> dict[str, Any]:
    """Return what belongs to every version's process besides what its task declares."""
    from airlock.steps.cache import environment
    from airlock.steps.source import source_digest

    return {
        "code": {step: source_digest(step) for step in ("ingest", "clean", "version")},
        "environment": environment("version"),
        "task": {"dag": context.run.dag, "run": context.run.run, "task": context.run.task},
    }


def known_labels(table: "pa.Table") -> "Iterator[Answer]":
    """Yield an answer of the annotator ``source`` for every sample that came with a label."""
    from airlock.stores.labels import Answer

    columns = (table[name].to_pylist() for name in ("sample_id", "label", "origin"))
    for sample_id, label, origin in zip(*columns, strict=True):
        if label is not None:
            yield Answer(sample_id=sample_id, annotator=ANNOTATOR, label=label, origin=origin)
