"""Makes an approved candidate smaller, and measures what that costs on the runtime that will serve it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.model.measurement import Comparison

ENVIRONMENT = ("ai-edge-litert", "keras", "numpy", "pillow", "pyarrow", "pylance", "tensorflow")
SEALED = True  # it measures; what it calibrates with is the training split, and no code of a use case learns here
TFLITE = "application/vnd.tflite"


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param manifest: the candidate manifest.
    :param method: see :func:`airlock.model.compression.export_compressed`.
    :param max_points_lost: percentage points of test accuracy that the smaller model may lose.
    """

    manifest: Artifact
    method: Literal["litert_dynamic", "litert_float16", "litert_int8"]
    max_points_lost: float = 1.0


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param model: the smaller ``.tflite`` file; ``original`` the one with float32 weights.
    :param comparison: JSON of :class:`airlock.model.measurement.Comparison`.
    """

    model: Artifact
    original: Artifact
    comparison: Artifact
    accuracy: float
    bytes: int


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Compress and compare; a comparison that refuses the trade is stored and linked before the step fails."""
    from airlock.governance.manifest import CandidateManifest, load
    from airlock.model.measurement import compare
    from airlock.model.storage import load_model
    from airlock.model.tensors import load_split
    from airlock.steps.held_out import test_split

    candidate = load(context.artifacts, inputs.manifest.digest, CandidateManifest)
    folder = context.fetch(candidate.tensors, "tensors")
    model = load_model(context.fetch(candidate.model, "model.keras"))
    original, smaller = _export(model, inputs, load_split(folder, "train").x, context)
    comparison = compare(inputs.method, original, smaller, test_split(context, candidate.tensors))
    report = context.sealed.put(msgspec.json.encode(comparison), "application/json")
    _say(comparison, report, context)
    comparison.require_at_most(inputs.max_points_lost)
    return Outputs(
        model=context.artifacts.put_file(smaller, TFLITE),
        original=context.artifacts.put_file(original, TFLITE),
        comparison=report,
        accuracy=comparison.compressed.accuracy,
        bytes=comparison.compressed.bytes,
    )


def _export(model: Any, inputs: Inputs, x: Any, context: StepContext) -> tuple[Path, Path]:
    from airlock.model.compression import export_compressed, export_float

    original, smaller = context.workdir / "original.tflite", context.workdir / "compressed.tflite"
    original.write_bytes(export_float(model))
    context.progress(1, 3, "file")
    smaller.write_bytes(export_compressed(model, inputs.method, x))
    context.progress(2, 3, "file")
    return original, smaller


def _say(comparison: "Comparison", report: Artifact, context: StepContext) -> None:
    smaller = comparison.compressed
    context.progress(3, 3, "file", accuracy=smaller.accuracy, ratio=comparison.ratio, p50_ms=smaller.p50_ms)
    context.link("Report", report.digest)
    context.metric("accuracy", smaller.accuracy)
    context.metric("bytes", smaller.bytes)
    context.metric("points_lost", comparison.points_lost)
    context.metric("ratio", comparison.ratio)
    context.metric("p50_ms", smaller.p50_ms)
    context.metric("p99_ms", smaller.p99_ms)
