"""A task context as Airflow hands one to ``execute``, made of plain fakes that keep what they are told."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import DRCount, GetDRCount, OKResponse

from airlock import settings as settings_module
from tests.governed import governed, home

__all__ = ["FakeStateStore", "FakeSupervisor", "context", "governed", "home"]


class FakeTaskInstance:
    """Keeps pushed XComs."""

    def __init__(self, task: str, attempt: int = 1) -> None:
        self.dag_id, self.run_id, self.task_id = "digits_model", "run", task
        self.map_index, self.try_number, self.max_tries = -1, attempt, 2
        self.id = "00000000-0000-0000-0000-000000000001"
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


class FakeStateStore(dict[str, Any]):
    """Airflow's task state store, in a dict."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


class FakeSupervisor:
    """Takes the requests that a task sends to its supervisor.

    :param deleted: runs that Airflow knows no more.
    """

    def __init__(self) -> None:
        self.reply: Any = OKResponse(ok=True)
        self.sent: list[Any] = []
        self.deleted: set[str] = set()

    def send(self, message: Any) -> Any:
        if isinstance(message, GetDRCount):
            return DRCount(count=len(set(message.run_ids or ()) - self.deleted))
        self.sent.append(message)
        return self.reply


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> FakeSupervisor:
    """Stand in for the task's supervisor."""
    fake = FakeSupervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", fake, raising=False)
    return fake


def context(
    task: str = "task",
    attempt: int = 1,
    conf: dict[str, Any] | None = None,
    state: FakeStateStore | None = None,
) -> dict[str, Any]:
    """Return a task context.

    :param state: what an earlier try of the task left.
    """
    ti = FakeTaskInstance(task, attempt)
    return {
        "ti": ti,
        "task_instance": ti,
        "dag_run": SimpleNamespace(conf=conf or {}, run_type="manual"),
        "task_state_store": FakeStateStore() if state is None else state,
    }


@pytest.fixture
def profiles(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give ``profiles(text)``: writes the file AIRLOCK_PROFILES names."""

    def write(text: str) -> None:
        path = home / f"profiles-{time.monotonic_ns()}.json"  # a path is read once
        path.write_text(text)
        monkeypatch.setenv("AIRLOCK_PROFILES", str(path))
        settings_module.settings.cache_clear()

    return write
