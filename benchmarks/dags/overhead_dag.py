"""Chains of ten trivial steps: one that runs them, one that reuses their verified results."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import DAG

from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator

LENGTH = 10


class NothingOperator(SubprocessPlace, StepOperator):
    """The step that does nothing."""

    step = "nothing"
    template_fields: Sequence[str] = ("value",)

    def __init__(self, *, value: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value = value


for name, cached in (("overhead_steps", False), ("overhead_cached", True)):
    with DAG(name, schedule=None, catchup=False):
        last: Any = 0
        for number in range(LENGTH):
            step = NothingOperator(task_id=f"step_{number}", value=last, cache=cached)
            last = step["value"]
