"""From samples to the tensors a network reads."""

from collections.abc import Sequence
from typing import Any

from airlock.operators.compute import by_compute
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator


class TransformStep(StepOperator):
    """Turn samples into fixed-shape tensors with the use case's ``transform(sample, **parameters)``.

    Tensors of the same data, labels, split and transform are made once, whatever manifest asks for them.

    :param manifest: the approved data manifest.
    :param code: path of the use case's ``transform.py``.
    :param parameters: handed to its ``transform``.
    """

    step = "transform"
    files = ("code",)
    template_fields: Sequence[str] = ("manifest", "code", "parameters")

    def __init__(self, *, manifest: Any, code: str, parameters: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.manifest = manifest
        self.code = code
        self.parameters = parameters or {}


class TransformOperator(SubprocessPlace, TransformStep):
    """:class:`TransformStep` in a subprocess of the worker."""


transform = by_compute(TransformOperator)
