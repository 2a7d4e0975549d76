"""Measuring a model on samples it never saw."""

from collections.abc import Sequence
from typing import Any

from airlock.operators.compute import by_compute
from airlock.operators.links import MLFLOW_RUN, REPORT
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator


class EvaluateStep(StepOperator):
    """Measure a model on a split it never saw: accuracy, per-class figures, the confusion matrix as a picture.

    :param model: the trained model.
    :param run: the MLflow run that trained it.
    :param split: which split, normally ``test``.
    """

    step = "evaluate"
    template_fields: Sequence[str] = ("model", "tensors", "classes", "run", "split")
    operator_extra_links = (MLFLOW_RUN, REPORT)

    def __init__(self, *, model: Any, tensors: Any, classes: Any, run: Any, split: str = "test", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.tensors = tensors
        self.classes = classes
        self.run = run
        self.split = split


class EvaluateOperator(SubprocessPlace, EvaluateStep):
    """:class:`EvaluateStep` in a subprocess of the worker."""


evaluate = by_compute(EvaluateOperator)
