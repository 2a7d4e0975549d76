"""Operators of the model pipeline: from an approved dataset version to a candidate with its manifest."""

from collections.abc import Sequence
from typing import Any

from airlock.operators.compute import by_compute
from airlock.operators.links import MANIFEST, MLFLOW_RUN, REPORT
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator


class TransformStep(StepOperator):
    """Turn samples into fixed-shape tensors with the use case's ``transform(image)``.

    :param manifest: the approved data manifest.
    :param code: path of the use case's ``transform.py``.
    """

    step = "transform"
    files = ("code",)
    template_fields: Sequence[str] = ("manifest", "code")

    def __init__(self, *, manifest: Any, code: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.manifest = manifest
        self.code = code


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


class RegisterStep(StepOperator):
    """Register the candidate in MLflow and tie code, data, parameters and figures into its manifest.

    :param data: the approved data manifest.
    :param transform_code: path of the use case's ``transform.py``.
    :param network_code: path of the use case's ``network.py``.
    """

    step = "register"
    files = ("transform_code", "network_code")
    template_fields: Sequence[str] = (
        "use_case",
        "data",
        "tensors",
        "model",
        "run",
        "evaluation",
        "picture",
        "transform_code",
        "network_code",
        "parameters",
        "seed",
    )
    operator_extra_links = (MLFLOW_RUN, MANIFEST)

    def __init__(
        self,
        *,
        use_case: str,
        data: Any,
        tensors: Any,
        model: Any,
        run: Any,
        evaluation: Any,
        picture: Any,
        transform_code: str,
        network_code: str,
        parameters: dict[str, Any],
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.use_case = use_case
        self.data = data
        self.tensors = tensors
        self.model = model
        self.run = run
        self.evaluation = evaluation
        self.picture = picture
        self.transform_code = transform_code
        self.network_code = network_code
        self.parameters = parameters
        self.seed = seed

    @property
    def inputs(self) -> dict[str, Any]:
        """The arguments, and which state of the code repository they come from."""
        from airlock.hooks.git import GitHook

        return super().inputs | {"code": GitHook(self.network_code).describe()}


class CompressStep(StepOperator):
    """Make the candidate smaller and measure what that costs against the original, on the runtime that serves it.

    :param manifest: the approved candidate's manifest.
    :param method: ``litert_dynamic``, ``litert_float16`` or ``litert_int8``.
    :param max_points_lost: fail when more percentage points of test accuracy are lost.
    """

    step = "compress"
    template_fields: Sequence[str] = ("manifest", "method", "max_points_lost")

    def __init__(self, *, manifest: Any, method: str, max_points_lost: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.manifest = manifest
        self.method = method
        self.max_points_lost = max_points_lost


class TransformOperator(SubprocessPlace, TransformStep):
    """:class:`TransformStep` in a subprocess of the worker."""


class TrainOperator(SubprocessPlace, TrainStep):
    """:class:`TrainStep` in a subprocess of the worker."""


class EvaluateOperator(SubprocessPlace, EvaluateStep):
    """:class:`EvaluateStep` in a subprocess of the worker."""


class RegisterOperator(SubprocessPlace, RegisterStep):
    """:class:`RegisterStep` in a subprocess of the worker."""


class CompressOperator(SubprocessPlace, CompressStep):
    """:class:`CompressStep` in a subprocess of the worker."""


transform = by_compute(TransformOperator)
train = by_compute(TrainOperator)
evaluate = by_compute(EvaluateOperator)
register = by_compute(RegisterOperator)
compress = by_compute(CompressOperator)
