"""``train(…)["model"]``: how one task's output becomes another's input in a DAG."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import XComArg


class NamedOutputs:
    """Mixin for operators that return a dict of named outputs."""

    output: Any
    __iter__ = None  # or Python would take an object with ``__getitem__`` for a sequence

    def __getitem__(self, name: str) -> "XComArg":
        """Return the task's output of that name, known when it has run."""
        named: XComArg = self.output[name]
        return named
