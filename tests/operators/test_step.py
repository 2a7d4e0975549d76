"""The operator side of the contract: reuse or run, leave history, and fail as the right class."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator
from airlock.stores.artifacts import open_artifacts
from tests.operators.conftest import context


class NothingOperator(SubprocessPlace, StepOperator):
    """Runs the step that does nothing."""

    step = "nothing"
    template_fields: Sequence[str] = ("value",)

    def __init__(self, *, value: Any = 0, **kwargs: Any) -> None:
        super().__init__(task_id="task", **kwargs)
        self.value = value


class CutShort(NothingOperator):
    """A step whose result was cut short on its way to the store."""

    def run_step(self, context: Any, document: str) -> str:
        ending = super().run_step(context, document)
        for path in Path(self.artifacts.objects.first.root).rglob("results/**/*.json"):  # type: ignore[attr-defined]
            path.write_bytes(path.read_bytes()[:-20])
        return ending


class Killed(NothingOperator):
    """A step that is killed while it works."""

    def on_line(self, context: Any, line: str) -> None:
        raise AssertionError("it should say nothing")

    def run_step(self, context: Any, document: str) -> str:
        def kill() -> None:
            while self._process is None:
                time.sleep(0.001)
            os.killpg(self._process.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        ending = super().run_step(context, document)
        killer.join()
        return ending


class TestRun:
    def test_it_returns_the_outputs_and_leaves_a_summary(self, home: Path) -> None:
        asked = context()
        assert NothingOperator(value=7).execute(asked) == {"value": 7}
        summary = asked["ti"].xcoms["summary"]
        assert summary["headline"].startswith("nothing: succeeded in")
        assert "| in | value | 7 |" in summary["table"]
        assert "| out | value | 7 |" in summary["table"]
        assert summary["cached"] is False

    def test_the_same_inputs_are_reused_and_it_says_so(self, home: Path) -> None:
        NothingOperator(value=7).execute(context())
        asked = context(attempt=2)
        assert NothingOperator(value=7).execute(asked) == {"value": 7}
        assert asked["ti"].xcoms["summary"]["cached"] is True

    def test_without_cache_it_runs_again(self, home: Path) -> None:
        NothingOperator(value=7).execute(context())
        asked = context(attempt=2)
        NothingOperator(value=7, cache=False).execute(asked)
        assert asked["ti"].xcoms["summary"]["cached"] is False

    def test_a_reviewer_who_names_the_task_has_it_run_again(self, home: Path) -> None:
        NothingOperator(value=7).execute(context())
        asked = context(attempt=2, conf={"rework": {"step": "task"}})
        NothingOperator(value=7).execute(asked)
        assert asked["ti"].xcoms["summary"]["cached"] is False


class TestFailure:
    def test_a_users_error_is_not_retried_and_says_what_to_do(self, home: Path) -> None:
        asked = context()
        with pytest.raises(AirflowFailException, match=r"\$\.value.*Correct the operator's arguments"):
            NothingOperator(value="seven").execute(asked)
        assert "(user)" in asked["ti"].xcoms["summary"]["headline"]

    def test_a_killed_step_is_named_and_retried(self, home: Path) -> None:
        asked = context()
        with pytest.raises(AirflowException, match="was killed by SIGKILL and left no result") as caught:
            Killed(value=7).execute(asked)
        assert not isinstance(caught.value, AirflowFailException)
        assert "infrastructure" in asked["ti"].xcoms["summary"]["headline"]
        assert list(open_artifacts((home / "artifacts").as_uri()).documents("results")) == []

    def test_a_result_that_was_cut_short_fails_the_task_and_is_not_remembered(self, home: Path) -> None:
        with pytest.raises(AirflowFailException, match="cut short"):
            CutShort(value=7).execute(context())
        asked = context(attempt=2)
        NothingOperator(value=7).execute(asked)
        assert asked["ti"].xcoms["summary"]["cached"] is False
