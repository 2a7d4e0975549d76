"""Drop samples that cannot be used, each with its reason, and measure the rest."""

import msgspec

from airlock.data.rules import ImageRule, LabelRule
from airlock.errors import DataRejected
from airlock.references import Artifact
from airlock.steps.context import StepContext

ENVIRONMENT = ("numpy", "pillow", "pyarrow")
PARQUET = "application/vnd.apache.parquet"
JSON_LINES = "application/x-ndjson"
NAMED = 5


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to clean, and the rules.

    :param samples: Parquet as ``ingest`` writes it.
    :param classes: the labels that are known.
    :param image: mode and smallest and largest side in pixels.
    :param max_dropped: largest share of samples that may be dropped, 0 to 1.
    """

    samples: Artifact
    classes: tuple[str, ...]
    image: ImageRule = ImageRule()
    max_dropped: float = 0.05


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What is left.

    :param samples: the input's columns, and width, height (pixels), mode, bytes, mean and std (0 to 255).
    :param dropped: JSON Lines: sample_id, source, reason.
    """

    samples: Artifact
    dropped: Artifact
    rows: int
    dropped_rows: int


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Decode every image and apply the rules; the record of what was dropped is stored before anything can fail.

    :raises DataRejected: no sample is left, or a larger share than ``max_dropped`` would be dropped.
    """
    from airlock.data.cleaning import clean

    source = context.fetch(inputs.samples, "samples.parquet")
    target = context.workdir / "clean.parquet"
    rows, dropped = clean(source, target, inputs.image, LabelRule(classes=inputs.classes), context.progress)
    record = context.artifacts.put(b"".join(msgspec.json.encode(item) + b"\n" for item in dropped), JSON_LINES)
    context.link("Dropped samples", record.digest)
    context.metric("dropped", len(dropped))
    _check_share(rows, [f"{item.source}: {item.reason}" for item in dropped], inputs.max_dropped)
    kept = context.artifacts.put_file(target, PARQUET)
    return Outputs(samples=kept, dropped=record, rows=rows, dropped_rows=len(dropped))


def _check_share(rows: int, dropped: list[str], max_dropped: float) -> None:
    total = rows + len(dropped)
    if rows and len(dropped) <= max_dropped * total:
        return
    named = "; ".join(dropped[:NAMED]) + ("; …" if len(dropped) > NAMED else "")
    rule = f"above max_dropped={max_dropped:g}" if rows else "none is left"
    raise DataRejected(
        f"{len(dropped)} of {total} samples cannot be used, {rule}: {named}.",
        hint="Repair the source, correct classes or image rules, or raise max_dropped. All: link Dropped samples.",
    )
