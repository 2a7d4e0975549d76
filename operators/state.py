"""What a running task keeps in Airflow's task state store: people see it there, and its next try reads it."""

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowRuntimeError

if TYPE_CHECKING:
    from airflow.sdk import Context

STATE, PROGRESS, RESTARTS, SEEN = "state", "progress", "restarts", "seen"
LOG = logging.getLogger(__name__)


class TaskState:
    """Airflow's task state store; without one (a callback, an older server) a dict that nobody else sees.

    A value that could not be kept is said in the log and fails no work: an API server may be restarted meanwhile.
    """

    def __init__(self, context: "Context") -> None:
        self._store: Any = context.get("task_state_store")
        self._kept: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """Return a value, ``None`` when there is none."""
        if key not in self._kept and self._store is not None:
            self._kept[key] = self._store.get(key)
        return self._kept.get(key)

    def set(self, key: str, value: Any) -> None:
        """Keep a value, unless it is the one that is there."""
        if self._kept.get(key) == value:
            return
        self._kept[key] = value
        if self._store is None:
            return
        try:
            self._store.set(key, value)
        except AirflowRuntimeError as error:
            LOG.warning("The task's %s was not kept: %s", key, error)

    def say(self, text: str) -> bool:
        """Show what the task is doing; say whether that is news."""
        news = self._kept.get(STATE) != text
        self.set(STATE, text)
        return news
