"""Measures a model on samples it never saw: figures, slices, calibration, the champion beside it, and what it costs."""

from typing import TYPE_CHECKING

import msgspec

from airlock.model.evaluation.slices import Slice
from airlock.references import Artifact, TrackingRun
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from pathlib import Path

    from airlock.governance.evaluations import Evaluation

ENVIRONMENT = (
    "keras",
    "matplotlib",
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "pylance",
    "scikit-learn",
    "scipy",
    "tensorflow",
)
SEALED = True


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param model: the ``.keras`` file.
    :param run: the MLflow run that trained it; the figures are logged to it too.
    :param slices: what is looked at apart from the whole split, with thresholds.
    :param backend: Keras backend that the model runs on; empty for TensorFlow.
    :param champion: digest of the candidate manifest behind what serves; empty when nothing does.
    :param against: the candidate manifest to ask instead of the champion's: what a revision revises.
    """

    model: Artifact
    tensors: Artifact
    classes: list[str]
    run: TrackingRun
    split: str = "test"
    slices: list[Slice] = []
    backend: str = ""
    champion: str = ""
    against: Artifact | None = None

    @property
    def beside(self) -> str:
        """Digest of the candidate manifest that is asked about the same samples."""
        return self.against.digest if self.against else self.champion


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param evaluation: JSON of :class:`airlock.governance.evaluations.Evaluation`.
    :param picture: PNG of the confusion matrix.
    :param report: the page that people read; it shows test samples.
    :param points_gained: percentage points of accuracy over the champion; ``None`` without one.
    """

    evaluation: Artifact
    picture: Artifact
    report: Artifact
    accuracy: float
    points_gained: float | None


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Evaluate, store and log everything, then refuse a model that misses a threshold."""
    from airlock.model.evaluation.judging import require_thresholds
    from airlock.model.evaluation.report import render
    from airlock.steps.evaluation import evaluate

    evaluation = evaluate(inputs, context)
    picture = _draw(evaluation, context.workdir / f"confusion_{inputs.split}.png")
    # Both show test samples.
    stored = context.sealed.put(msgspec.json.encode(evaluation), "application/json")
    report = context.sealed.put(render(evaluation, picture.read_bytes(), context.run.dag), "text/html")
    shown = context.artifacts.put_file(picture, "image/png")
    context.link("Report", report.digest)
    context.link("Confusion matrix", shown.digest)
    for name, value in evaluation.all_figures.items():
        context.metric(name, value)
    _log(inputs, context, evaluation, picture)
    require_thresholds(evaluation)
    return Outputs(
        evaluation=stored,
        picture=shown,
        report=report,
        accuracy=evaluation.accuracy,
        points_gained=_points_gained(evaluation),
    )


def _points_gained(evaluation: "Evaluation") -> float | None:
    if evaluation.champion is None:
        return None
    before = evaluation.champion.measured.figures["accuracy"]
    return round(100 * (evaluation.accuracy - before), 4)


def _draw(evaluation: "Evaluation", path: "Path") -> "Path":
    import numpy as np

    from airlock.model.confusion import draw_confusion

    title = f"{evaluation.split}: {evaluation.accuracy:.2%} of {evaluation.count}"
    return draw_confusion(np.array(evaluation.confusion), list(evaluation.per_class), title, path)


def _log(inputs: Inputs, context: StepContext, evaluation: "Evaluation", picture: "Path") -> None:
    """Log what gives no test sample away: figures, slices, and the report without its pictures."""
    from airlock.model.evaluation.report import render, without_samples
    from airlock.model.tracking import Tracking

    tracked = Tracking(context.settings.tracking).open(inputs.run)
    context.link("MLflow run", tracked.url)
    told = without_samples(evaluation)
    document = context.workdir / f"evaluation_{inputs.split}.json"
    document.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2))
    page = context.workdir / f"evaluation_{inputs.split}.html"
    page.write_bytes(render(told, picture.read_bytes(), context.run.dag))
    tracked.metrics(_logged(inputs.split, evaluation))
    for path in (picture, document, page):
        tracked.file(path)


def _logged(split: str, evaluation: "Evaluation") -> dict[str, float]:
    figures = dict(evaluation.all_figures)
    for name, (low, high) in evaluation.intervals.items():
        figures |= {f"{name}_low": low, f"{name}_high": high}
    for each in evaluation.slices:
        figures |= {f"slice/{each.measured.slice}/{name}": value for name, value in each.measured.figures.items()}
    if evaluation.footprint:
        figures |= {"parameters": evaluation.footprint.parameters, "model_bytes": evaluation.footprint.bytes}
        figures |= {f"ms_per_sample_{name}": value for name, value in evaluation.footprint.times_ms.items()}
        figures |= {"flops": evaluation.footprint.flops} if evaluation.footprint.flops is not None else {}
    return {f"{split}_{name}": value for name, value in figures.items()}
