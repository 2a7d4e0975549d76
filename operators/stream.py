"""Micro-batches: what is new in a folder or bucket prefix that keeps growing, every object exactly once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airlock.operators.compute import by_compute
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class StreamStep(StepOperator):
    """Take the next micro-batch; skip when nothing is new.

    A run that is tried again, or whose task is cleared, gets the batch it took. Nothing comes from the cache.

    :param stream: its name; what was taken is kept under it.
    :param source: ``{"kind": "folder" | "s3" | …, "location": path or URL, …}``: a kind that lists objects.
    :param max_objects: most objects of a batch.
    :param settle: seconds an object must have been left alone before it is taken.
    """

    step = "stream"
    template_fields: Sequence[str] = ("stream", "source", "max_objects", "settle")

    def __init__(
        self, *, stream: str, source: dict[str, Any], max_objects: int = 10_000, settle: float = 5.0, **kwargs: Any
    ) -> None:
        super().__init__(**(kwargs | {"cache": False}))
        self.stream = stream
        self.source = source
        self.max_objects = max_objects
        self.settle = settle

    def execute(self, context: "Context") -> dict[str, Any]:
        """Take the batch.

        :raises AirflowSkipException: there is nothing new, so there is nothing to do downstream.
        """
        outputs = super().execute(context)
        if not outputs["objects"]:
            raise AirflowSkipException(f"Nothing new in the stream {self.stream}.")
        return outputs


class StreamOperator(SubprocessPlace, StreamStep):
    """:class:`StreamStep` in a subprocess of the worker."""


stream = by_compute(StreamOperator)
