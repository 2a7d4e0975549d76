"""Clean samples by declared functions; every dropped and every changed one is on record with its reason."""

from typing import TYPE_CHECKING, Any

import msgspec

from airlock.data.rules import LabelRule
from airlock.errors import DataRejected
from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.data.cleaning.records import Records

ENVIRONMENT = ("ftfy", "numpy", "pillow", "pyarrow", "soundfile")
SEALED = True
PARQUET = "application/vnd.apache.parquet"
JSON_LINES = "application/x-ndjson"


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to clean, and how.

    :param samples: Parquet as ``ingest`` writes it.
    :param classes: the labels that are known.
    :param cleaners: applied in this order to every sample, whatever split it will be in: ``{"name": …, parameters}``.
    :param max_dropped: largest share of samples that may be dropped, 0 to 1.
    """

    samples: Artifact
    classes: tuple[str, ...]
    cleaners: tuple[dict[str, Any], ...]
    max_dropped: float = 0.05


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What is left.

    :param samples: the input's columns, and bytes and whatever the cleaners measure.
    :param dropped: JSON Lines: sample_id, source, cleaner, reason.
    :param changes: JSON Lines: before, after (sample ids), source, cleaner, what.
    :param cleaning: digest of all cleaners, and each with its name, parameters and digest.
    """

    samples: Artifact
    dropped: Artifact
    changes: Artifact
    cleaning: dict[str, Any]
    rows: int
    dropped_rows: int
    changed_rows: int


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Apply the cleaners; the records of what was dropped and changed are stored before anything can fail.

    :raises UserError: a cleaner is unknown, has wrong parameters, or fails.
    :raises DataRejected: no sample is left, or a larger share than ``max_dropped`` would be dropped.
    """
    from airlock.data.cleaning.declaration import bind, cleaning_digest
    from airlock.data.cleaning.pipeline import clean

    cleaners = bind(inputs.cleaners, context.fetch)
    source = context.fetch(inputs.samples, "samples.parquet")
    target = context.workdir / "clean.parquet"
    records = clean(source, target, cleaners, LabelRule(classes=inputs.classes), context.progress)
    dropped = context.artifacts.put_file(records.dropped_path, JSON_LINES)
    changes = context.artifacts.put_file(records.changes_path, JSON_LINES)
    context.link("Dropped samples", dropped.digest)
    context.link("Changed samples", changes.digest)
    context.metric("dropped", records.dropped)
    context.metric("changed", len(records.changed))
    _check_share(records, inputs.max_dropped)
    applied = [cleaner.applied for cleaner in cleaners]
    return Outputs(
        samples=context.sealed.put_file(target, PARQUET),
        dropped=dropped,
        changes=changes,
        cleaning={"digest": cleaning_digest(applied), "cleaners": msgspec.to_builtins(applied)},
        rows=records.kept,
        dropped_rows=records.dropped,
        changed_rows=len(records.changed),
    )


def _check_share(records: "Records", max_dropped: float) -> None:
    total = records.kept + records.dropped
    if records.kept and records.dropped <= max_dropped * total:
        return
    named = "; ".join(records.first) + ("; …" if records.dropped > len(records.first) else "")
    rule = f"above max_dropped={max_dropped:g}" if records.kept else "none is left"
    raise DataRejected(
        f"{records.dropped} of {total} samples cannot be used, {rule}: {named}.",
        hint="Repair the source, correct classes or cleaners, or raise max_dropped. All: link Dropped samples.",
    )
