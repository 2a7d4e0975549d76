"""The operator side of the contract: reuse or run, leave history, and fail as the right class."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airlock.operators.execution import Ending, Execution
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

    def run_step(self, context: Any, execution: Execution) -> Ending:
        ending = super().run_step(context, execution)
        for path in Path(self.artifacts.objects.first.root).rglob("results/**/*.json"):  # type: ignore[attr-defined]
            path.write_bytes(path.read_bytes()[:-20])
        return ending


class Killed(NothingOperator):
    """A step that is killed while it works, as often as it is told."""

    times = 1000

    def run_step(self, context: Any, execution: Execution) -> Ending:
        if execution.spec.run.restart >= self.times:
            return super().run_step(context, execution)

        def kill() -> None:
            while not self._processes:
                time.sleep(0.001)
            os.killpg(self._processes[0].pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        ending = super().run_step(context, execution)
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

    def test_a_killed_step_is_started_again_and_says_so(
        self, home: Path, profiles: Callable[[str], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        profiles('{"local": {"place": "subprocess", "restart_delay": 0.01}}')
        asked, killed = context(), Killed(value=7)
        killed.times = 2
        assert killed.execute(asked) == {"value": 7}
        assert asked["task_state_store"]["state"] == "restarted 2 of 10: was killed by SIGKILL"
        assert "restarted 1 of 10: was killed by SIGKILL" in caplog.text

    def test_one_that_is_killed_too_often_fails_for_good(self, home: Path, profiles: Callable[[str], None]) -> None:
        profiles('{"local": {"place": "subprocess", "restart_delay": 0.01, "restarts": 2}}')
        asked = context()
        with pytest.raises(AirflowFailException, match=r"interrupted more than 2 times.*SIGKILL.*`restarts`.*'local'"):
            Killed(value=7).execute(asked)
        assert "infrastructure" in asked["ti"].xcoms["summary"]["headline"]
        assert list(open_artifacts((home / "artifacts").as_uri()).documents("results")) == []
        again = context(attempt=2, state=asked["task_state_store"])
        with pytest.raises(AirflowFailException, match="interrupted more than 2 times"):
            Killed(value=7).execute(again)

    def test_a_person_who_clears_it_gives_the_budget_anew(self, home: Path, profiles: Callable[[str], None]) -> None:
        profiles('{"local": {"place": "subprocess", "restart_delay": 0.01, "restarts": 1}}')
        asked = context()
        with pytest.raises(AirflowFailException, match="interrupted"):
            Killed(value=7).execute(asked)
        cleared = context(attempt=2, state=asked["task_state_store"])
        cleared["ti"].max_tries += 2
        killed = Killed(value=7)
        killed.times = 1
        assert killed.execute(cleared) == {"value": 7}

    def test_a_result_that_was_cut_short_fails_the_task_and_is_not_remembered(self, home: Path) -> None:
        with pytest.raises(AirflowFailException, match="cut short"):
            CutShort(value=7).execute(context())
        asked = context(attempt=2)
        NothingOperator(value=7).execute(asked)
        assert asked["ti"].xcoms["summary"]["cached"] is False
