"""Making a candidate smaller."""

from collections.abc import Sequence
from typing import Any

from airlock.operators.compute import by_compute
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator


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


class CompressOperator(SubprocessPlace, CompressStep):
    """:class:`CompressStep` in a subprocess of the worker."""


compress = by_compute(CompressOperator)
