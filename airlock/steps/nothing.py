"""A step that does nothing: what a step costs when the work is free (``benchmarks/step_overhead.py``, tests)."""

import msgspec

from airlock.steps.context import StepContext

ENVIRONMENT = ()


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param value: any number, given back."""

    value: int = 0


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param value: the number that went in."""

    value: int


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Give the number back."""
    return Outputs(value=inputs.value)
