"""Mapped steps: what Airflow asks of the mapped task itself."""

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airlock.operators.model import train
from airlock.operators.model.training import TrainStep
from airlock.operators.step import given_up
from tests.operators.conftest import context


def ours(_context: Any) -> None:
    """A callback of the DAG's author."""


class TestAMappedTask:
    def test_whose_worker_was_lost_is_cleaned_up_after(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        abandoned: list[str] = []
        monkeypatch.setattr(TrainStep, "abandoned", lambda operator, context: abandoned.append(operator.task_id))
        with DAG("mapped"):
            tasks = train.partial(
                tensors={}, code="network.py", classes=["0"], parameters={}, experiment="e", on_failure_callback=ours
            ).expand(seed=[1, 2])
        assert tasks.on_failure_callback == [given_up, ours]
        given_up({**context(), "task": tasks})
        assert abandoned == ["train"]
