"""``train(…)["model"]``: how one task's output becomes another's input in a DAG."""

from collections.abc import Iterator, Mapping
from typing import Any

from airflow.sdk import BaseOperator, XComArg

from airlock.errors import UserError


class TaskOutput(XComArg):
    """One named output of a task, known when the task has run.

    Airflow's own ``output["name"]`` means an XCom of that key; here it is an entry of the returned dict, so a task
    writes one XCom however many outputs it has.

    :param operator: the task.
    :param name: name of the output.
    """

    def __init__(self, operator: BaseOperator, name: str) -> None:
        self.operator = operator
        self.name = name

    def __repr__(self) -> str:
        return f"{self.operator.task_id}[{self.name!r}]"

    def iter_references(self) -> Iterator[tuple[Any, str]]:
        """Say which XCom this stands for: Airflow sets the dependency from it."""
        yield self.operator, "return_value"

    def resolve(self, context: Mapping[str, Any]) -> Any:
        """Return the output.

        :raises UserError: the task left none, for example because somebody marked it as done by hand.
        """
        returned = self.operator.output.resolve(context)
        if not isinstance(returned, dict) or self.name not in returned:
            raise UserError(
                f"Task {self.operator.task_id} left no {self.name!r}: it did not run to its end in this run.",
                hint=f"Clear {self.operator.task_id}; marking a task as successful gives it no output.",
            )
        return returned[self.name]


class NamedOutputs:
    """Mixin for operators that return a dict of named outputs."""

    __iter__ = None  # or Python would take an object with ``__getitem__`` for a sequence

    def __getitem__(self, name: str) -> TaskOutput:
        """Return the task's output of that name."""
        return TaskOutput(self, name)  # type: ignore[arg-type]
