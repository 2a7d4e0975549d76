"""Measures a model on samples it never saw: figures per class and the confusion matrix as a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.references import Artifact, TrackingRun
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.governance.evaluations import Evaluation

ENVIRONMENT = ("keras", "matplotlib", "mlflow", "numpy", "pillow", "pyarrow", "pylance", "tensorflow")
SEALED = True
BATCH = 256


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param model: the ``.keras`` file.
    :param run: the MLflow run that trained it; the figures are logged to it too.
    """

    model: Artifact
    tensors: Artifact
    classes: list[str]
    run: TrackingRun
    split: str = "test"


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param evaluation: JSON of :class:`airlock.governance.evaluations.Evaluation`.
    :param picture: PNG of the confusion matrix.
    """

    evaluation: Artifact
    picture: Artifact
    accuracy: float


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Evaluate, store the figures and the picture, log them to the training's run."""
    evaluation = _evaluate(inputs, context)
    picture = _draw(evaluation, context.workdir / f"confusion_{inputs.split}.png")
    stored = context.sealed.put(msgspec.json.encode(evaluation), "application/json")  # it shows test samples
    shown = context.artifacts.put_file(picture, "image/png")
    context.link("Report", shown.digest)
    context.metric("accuracy", evaluation.accuracy)
    context.metric("macro_f1", evaluation.macro_f1)
    _log(inputs, context, evaluation, picture)
    return Outputs(evaluation=stored, picture=shown, accuracy=evaluation.accuracy)


def _evaluate(inputs: Inputs, context: StepContext) -> "Evaluation":
    from airlock.governance.evaluations import Evaluation
    from airlock.model.evaluation import class_figures, confusion_matrix, intervals, pictures, predictions
    from airlock.model.tensors import load_split
    from airlock.steps.held_out import TEST, test_split

    if inputs.split == TEST:
        split = test_split(context, inputs.tensors)
    else:
        split = load_split(context.fetch(inputs.tensors, "tensors"), inputs.split)
    probabilities = _answers(_load(inputs, context), split.x, context)
    answers = probabilities.argmax(axis=1)
    confusion = confusion_matrix(split.y, answers, len(inputs.classes))
    return Evaluation(
        model=inputs.model.digest,
        tensors=inputs.tensors.digest,
        split=inputs.split,
        count=len(split.y),
        accuracy=float(confusion.trace() / len(split.y)),
        per_class=dict(zip(inputs.classes, class_figures(confusion), strict=True)),
        confusion=confusion.tolist(),
        intervals=intervals(confusion),
        predictions=predictions(split, probabilities),
        errors=pictures(split, answers != split.y, probabilities),
    )


def _load(inputs: Inputs, context: StepContext) -> Any:
    from airlock.errors import UserError
    from airlock.model.storage import load_model

    model = load_model(context.fetch(inputs.model, "model.keras"))
    if model.output_shape[-1] != len(inputs.classes):
        raise UserError(
            f"The model answers with {model.output_shape[-1]} classes, but {len(inputs.classes)} are named.",
            hint="Pass the classes that the model was trained with.",
        )
    return model


def _answers(model: Any, x: Any, context: StepContext) -> Any:
    import numpy as np

    answers = []
    for begin in range(0, len(x), BATCH):
        answers.append(model.predict_on_batch(x[begin : begin + BATCH]))
        context.progress(min(begin + BATCH, len(x)), len(x), "sample")
    return np.concatenate(answers)


def _draw(evaluation: "Evaluation", path: Path) -> Path:
    import numpy as np

    from airlock.model.confusion import draw_confusion

    title = f"{evaluation.split}: {evaluation.accuracy:.2%} of {evaluation.count}"
    return draw_confusion(np.array(evaluation.confusion), list(evaluation.per_class), title, path)


def _log(inputs: Inputs, context: StepContext, evaluation: "Evaluation", picture: Path) -> None:
    from airlock.model.tracking import Tracking

    tracked = Tracking(context.settings.tracking).open(inputs.run)
    context.link("MLflow run", tracked.url)
    report = context.workdir / f"evaluation_{inputs.split}.json"
    report.write_bytes(msgspec.json.format(msgspec.json.encode(_figures(evaluation)), indent=2))
    figures = {"accuracy": evaluation.accuracy, "macro_f1": evaluation.macro_f1}
    for name, (low, high) in evaluation.intervals.items():
        figures |= {f"{name}_low": low, f"{name}_high": high}
    tracked.metrics({f"{inputs.split}_{name}": value for name, value in figures.items()})
    tracked.file(picture)
    tracked.file(report)


def _figures(evaluation: "Evaluation") -> "Evaluation":
    """Leave out what only a comparison of two models needs: it stays in the artifact store."""
    return msgspec.structs.replace(evaluation, predictions=None, errors={})
