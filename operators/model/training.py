"""Training a network."""

from collections.abc import Sequence
from typing import Any

from airlock.operators.compute import by_compute
from airlock.operators.links import MLFLOW_RUN
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator


class TrainStep(StepOperator):
    """Train the use case's Keras model; curves and parameters go to MLflow.

    :param tensors: the transformed dataset.
    :param code: path of the use case's ``network.py`` with ``build(shape, classes, parameters)``.
    :param classes: class names, in the order of the model's outputs.
    :param parameters: hyperparameters: ``epochs``, ``batch_size``, ``learning_rate`` and the network's own.
    :param seed: seed of every random generator.
    :param experiment: MLflow experiment.
    """

    step = "train"
    files = ("code",)
    template_fields: Sequence[str] = ("tensors", "code", "classes", "parameters", "seed", "experiment")
    operator_extra_links = (MLFLOW_RUN,)

    def __init__(
        self,
        *,
        tensors: Any,
        code: str,
        classes: Any,
        parameters: dict[str, Any],
        experiment: str,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.tensors = tensors
        self.code = code
        self.classes = classes
        self.parameters = parameters
        self.seed = seed
        self.experiment = experiment


class TrainOperator(SubprocessPlace, TrainStep):
    """:class:`TrainStep` in a subprocess of the worker."""


train = by_compute(TrainOperator)
