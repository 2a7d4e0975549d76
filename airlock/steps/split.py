"""Assign every labelled sample to train, validation or test by its own hash: old samples never move."""

import msgspec

from airlock.references import Artifact, DatasetVersion, LabelSet
from airlock.steps.context import StepContext

ENVIRONMENT = ("pyarrow", "pylance")
PARQUET = "application/vnd.apache.parquet"


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to divide.

    :param fractions: share of train, validation and test; they sum to 1.
    :param salt: another salt draws another split.
    """

    dataset: DatasetVersion
    labels: LabelSet
    fractions: dict[str, float]
    salt: str = "airlock"


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param split: Parquet: sample_id, split, ordered by id.
    :param counts: samples in each split.
    """

    split: Artifact
    counts: dict[str, int]


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Divide the samples that have a label; the source's own test samples are test, its training samples never.

    :raises UserError: the fractions do not sum to 1.
    :raises DataRejected: a split that should have samples got none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from airlock.data.metadata import check_match
    from airlock.data.splitting import check_fractions, split
    from airlock.stores.labels import LabelStore

    check_fractions(inputs.fractions)
    check_match(inputs.dataset, inputs.labels)
    labels = LabelStore(context.database).read(inputs.labels)
    table = context.datasets.read(inputs.dataset, columns=["sample_id", "source_split"]).sort_by("sample_id")
    rows = zip(*(table[name].to_pylist() for name in ("sample_id", "source_split")), strict=True)
    samples = [row for row in rows if row[0] in labels]
    assigned, counts = split(samples, inputs.fractions, inputs.salt)
    context.metric("unlabelled", table.num_rows - len(samples))
    target = context.workdir / "split.parquet"
    pq.write_table(pa.table({"sample_id": [row[0] for row in samples], "split": assigned}), target)
    return Outputs(split=context.artifacts.put_file(target, PARQUET), counts=counts)
