"""Commit samples as a dataset version, and the labels that came with them as a label set."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.references import Artifact, DatasetVersion, LabelSet
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    import pyarrow as pa

    from airlock.stores.labels import Answer

ENVIRONMENT = ("pyarrow", "pylance")
SEALED = True
# Labels are no part of a dataset version: they can change while the samples stay.
LABEL_COLUMNS = ["label", "origin"]
ANNOTATOR = "source"


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
    """Commit; content that was committed before gives the same version again."""
    import pyarrow.parquet as pq

    from airlock.stores.labels import LabelStore

    table = pq.read_table(context.fetch(inputs.samples, "samples.parquet"))
    dataset, change = context.datasets.commit(inputs.dataset, table.drop_columns(LABEL_COLUMNS), inputs.process)
    store = LabelStore(context.database)
    store.record(dataset.digest, known_labels(table))
    labels = store.resolve(dataset)
    for name in ("added", "changed", "removed"):
        context.metric(name, getattr(change, name))
    return Outputs(dataset=dataset, labels=labels, added=change.added, changed=change.changed, removed=change.removed)


def known_labels(table: "pa.Table") -> "Iterator[Answer]":
    """Yield an answer of the annotator ``source`` for every sample that came with a label."""
    from airlock.stores.labels import Answer

    columns = (table[name].to_pylist() for name in ("sample_id", "label", "origin"))
    for sample_id, label, origin in zip(*columns, strict=True):
        if label is not None:
            yield Answer(sample_id=sample_id, annotator=ANNOTATOR, label=label, origin=origin)
