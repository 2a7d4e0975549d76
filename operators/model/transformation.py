"""From samples to the tensors a network reads."""

from collections.abc import Sequence
from typing import Any

from airlock.operators.compute import by_compute
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


class TransformOperator(SubprocessPlace, TransformStep):
    """:class:`TransformStep` in a subprocess of the worker."""


transform = by_compute(TransformOperator)
