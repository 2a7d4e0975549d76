"""Assign every labelled sample to train, validation or test by its own hash: old samples never move.

What training may see is copied here to the open artifact store: the contents of train and validation. The dataset
itself, with the test samples in it, stays with the steps that declare ``SEALED = True``.
"""

from typing import TYPE_CHECKING

import msgspec

from airlock.references import Artifact, DatasetVersion, LabelSet
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    import pyarrow as pa

    from airlock.data.splitting import Item

ENVIRONMENT = ("pyarrow", "pylance")
SEALED = True
PARQUET = "application/vnd.apache.parquet"
COLUMNS = ("sample_id", "source_split", "group", "source")


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to divide.

    :param fractions: share of train, validation and test; they sum to 1.
    :param salt: another salt draws another split.
    :param stratify: make every class keep the fractions; what ``previous`` assigned stays.
    :param previous: the split before, for ``stratify``.
    :param test_sources: patterns of source paths whose samples are test, for example ``hospital-b/*``.
    """

    dataset: DatasetVersion
    labels: LabelSet
    fractions: dict[str, float]
    salt: str = "airlock"
    stratify: bool = False
    previous: Artifact | None = None
    test_sources: list[str] = []


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param split: Parquet: sample_id, split, ordered by id.
    :param training: Parquet: sample_id, split, content and streams of train and validation, ordered by id.
    :param counts: samples in each split.
    """

    split: Artifact
    training: Artifact
    counts: dict[str, int]


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Divide the samples that have a label; the source's own test samples are test, its training samples never.

    :raises UserError: the fractions do not sum to 1, or a test source matches nothing.
    :raises DataRejected: a split that should have samples got none, or a group would lie in test and in train.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from airlock.data.metadata import check_match
    from airlock.data.split_history import remember_split
    from airlock.data.splitting import check_fractions
    from airlock.data.training_view import TrainingView

    check_fractions(inputs.fractions)
    check_match(inputs.dataset, inputs.labels)
    items = _items(inputs, context)
    assigned, counts = _assign(inputs, items, context)
    context.metric("unlabelled", inputs.dataset.rows - len(items))
    table = pa.table({"sample_id": [item.sample_id for item in items], "split": assigned})
    pq.write_table(table, context.workdir / "split.parquet")
    stored = context.artifacts.put_file(context.workdir / "split.parquet", PARQUET)
    remember_split(context.artifacts, inputs.dataset.name, inputs.salt, stored)
    view = TrainingView(context.artifacts, inputs.dataset.digest, stored.digest)
    return Outputs(split=stored, training=view.write(_training(table, inputs, context), context.workdir), counts=counts)


def _items(inputs: Inputs, context: StepContext) -> "list[Item]":
    from airlock.data.splitting import Item
    from airlock.data.training_view import columns_of
    from airlock.stores.labels import LabelStore

    labels = LabelStore(context.database).read(inputs.labels)
    there = columns_of(context.datasets, inputs.dataset)
    table = context.datasets.read(inputs.dataset, columns=[name for name in COLUMNS if name in there])
    table = table.sort_by("sample_id")
    none = [None] * table.num_rows
    columns = [table[name].to_pylist() if name in there else none for name in COLUMNS]
    return [
        Item(name, declared, group, labels[name], source or "")
        for name, declared, group, source in zip(*columns, strict=True)
        if name in labels
    ]


def _assign(inputs: Inputs, items: "list[Item]", context: StepContext) -> tuple[list[str], dict[str, int]]:
    import pyarrow.parquet as pq

    from airlock.data.splitting import split
    from airlock.data.stratification import stratified

    if not inputs.stratify:
        return split(items, inputs.fractions, inputs.salt, inputs.test_sources)
    previous: dict[str, str] = {}
    if inputs.previous is not None:
        before = pq.read_table(context.fetch(inputs.previous, "previous.parquet"))
        previous = dict(zip(before["sample_id"].to_pylist(), before["split"].to_pylist(), strict=True))
    return stratified(items, inputs.fractions, inputs.salt, previous, inputs.test_sources)


def _training(table: "pa.Table", inputs: Inputs, context: StepContext) -> "pa.RecordBatchReader":
    from airlock.data.training_view import contents

    def report(done: int, total: int) -> None:
        context.progress(done, total, "sample")

    return contents(table, context.datasets, inputs.dataset, report)
