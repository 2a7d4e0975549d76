"""Training a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import AirlockError
from airlock.hooks.sealed import resolved_settings
from airlock.operators.compute import by_compute
from airlock.operators.links import MLFLOW_RUN
from airlock.operators.model.architecture import check_network, store_network
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator, run_info
from airlock.references import Artifact

if TYPE_CHECKING:
    from airflow.sdk import Context


class TrackedStep(StepOperator):
    """Base of the steps that train in a run of the tracking server."""

    experiment: str

    def abandoned(self, context: "Context") -> None:
        """End the MLflow run too: nobody is going on with it."""
        super().abandoned(context)
        from airlock.model.registry import Registry

        try:
            ended = Registry(resolved_settings().tracking).end_runs(self.experiment, run_info(context).owner)
        except AirlockError as error:
            self.log.warning("Could not end the MLflow run: %s", error)
        else:
            self.log.info("Marked %s MLflow runs as killed.", ended)

    def store_file(self, path: Path) -> Artifact:
        """Store a file; an architecture with all it extends."""
        return store_network(self.artifacts, path)


class TrainStep(TrackedStep):
    """Train the use case's Keras model; curves and parameters go to MLflow.

    :param tensors: the transformed dataset.
    :param code: path of the use case's ``network.py`` with ``build(shape, classes, parameters)``, or of an architecture
        (``.yaml``, ``.json``), which is checked when the DAG is parsed.
    :param classes: class names, in the order of the model's outputs.
    :param parameters: hyperparameters: ``epochs``, ``batch_size``, ``learning_rate`` and the network's own.
    :param seed: seed of every random generator.
    :param experiment: MLflow experiment.
    :param warm_start: registry version whose weights are the first ones, ``digits@champion`` or ``digits/3``; layers
        are matched by name and shape, and the run names its parent. Nothing happens while there is no such version.
    :param checkpoint_seconds: from one checkpoint to the next: what a kill can cost at most; 0 for one after every
        epoch.
    """

    step = "train"
    files = ("code",)
    template_fields: Sequence[str] = (
        "tensors",
        "code",
        "classes",
        "parameters",
        "seed",
        "experiment",
        "warm_start",
        "checkpoint_seconds",
    )
    operator_extra_links = (MLFLOW_RUN,)

    def __init__(
        self,
        *,
        tensors: Any,
        code: Any,
        classes: Any,
        parameters: Any,
        experiment: str,
        seed: int = 0,
        warm_start: str = "",
        checkpoint_seconds: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_network(code, parameters, classes)
        self.tensors = tensors
        self.code = code
        self.classes = classes
        self.parameters = parameters
        self.seed = seed
        self.experiment = experiment
        self.warm_start = warm_start
        self.checkpoint_seconds = checkpoint_seconds

    @property
    def inputs(self) -> dict[str, Any]:
        """The arguments, and the model to begin with as it is now."""
        values = super().inputs
        if not self.warm_start:
            return values
        from airlock.model.registry import Registry

        parent = Registry(resolved_settings().tracking).model(self.warm_start, self.artifacts)
        return values | ({"parent": msgspec.to_builtins(parent)} if parent else {})


class TrainOperator(SubprocessPlace, TrainStep):
    """:class:`TrainStep` in a subprocess of the worker."""


train = by_compute(TrainOperator)
