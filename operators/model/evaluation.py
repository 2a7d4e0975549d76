"""Measuring a model on samples it never saw."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from airlock.model.evaluation.slices import Slice, decode_slices, read_ids
from airlock.operators.champion import champion_candidate
from airlock.operators.compute import by_compute
from airlock.operators.links import MLFLOW_RUN, REPORT
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator
from airlock.stores.artifacts import ArtifactStore


class EvaluateStep(StepOperator):
    """Measure a model on a split it never saw: figures with intervals, slices, calibration, what it costs, and which
    samples flipped against the champion, as a page and as figures in MLflow.

    A slice's missed threshold of severity error fails the task, after everything was stored and linked.

    :param model: the trained model.
    :param run: the MLflow run that trained it.
    :param split: which split, normally ``test``.
    :param slices: :class:`airlock.model.evaluation.slices.Slice` as plain data.
    :param use_case: whose champion, the model behind what serves, is asked about the same samples, unless it is this
        model; empty for nobody's.
    :param backend: Keras backend that the model runs on; empty for TensorFlow.
    :param against: a candidate's manifest, to be asked instead of the champion: what a revision revises.
    """

    step = "evaluate"
    template_fields: Sequence[str] = ("model", "tensors", "classes", "run", "split", "slices", "backend", "against")
    operator_extra_links = (MLFLOW_RUN, REPORT)

    def __init__(
        self,
        *,
        model: Any,
        tensors: Any,
        classes: Any,
        run: Any,
        split: str = "test",
        slices: Sequence[dict[str, Any]] = (),
        use_case: str = "",
        backend: str = "",
        against: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_slices(slices)
        self.model = model
        self.tensors = tensors
        self.classes = classes
        self.run = run
        self.split = split
        self.slices = list(slices)
        self.use_case = use_case
        self.backend = backend
        self.against = against

    @property
    def inputs(self) -> dict[str, Any]:
        """The arguments, with saved lists of samples as artifacts, and the candidate behind what serves now."""
        return super().inputs | {"slices": stored_slices(self.slices, self.artifacts), "champion": self._champion()}

    def _champion(self) -> str:
        """The champion's candidate; none for the champion's own model, which would be compared with itself."""
        if not self.use_case or self.against:
            return ""
        digest, model = champion_candidate(self.artifacts, self.use_case)
        return "" if model is not None and model.digest == self.model.get("digest") else digest


def check_slices(slices: Sequence[dict[str, Any]]) -> None:
    """Check what a use case declares when its DAG is parsed."""
    for each in decode_slices(slices):
        if each.samples and isinstance(each.samples, str):
            read_ids(Path(each.samples))


def stored_slices(slices: Sequence[Any], artifacts: ArtifactStore) -> list[Any]:
    """Return slices with saved lists of samples as artifacts."""
    return [msgspec.to_builtins(_stored(each, artifacts)) for each in decode_slices(slices)]


def _stored(declared: Slice, artifacts: ArtifactStore) -> Slice:
    if not declared.samples or not isinstance(declared.samples, str):
        return declared
    return msgspec.structs.replace(declared, samples=artifacts.put_file(Path(declared.samples), "text/plain"))


class EvaluateOperator(SubprocessPlace, EvaluateStep):
    """:class:`EvaluateStep` in a subprocess of the worker."""


evaluate = by_compute(EvaluateOperator)
