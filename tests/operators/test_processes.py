"""The local place: nothing a step started outlives its task, and several workers are one step."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airlock.operators import memory
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator
from tests.kubernetes.probe import install
from tests.operators.conftest import context

PARENT = """
import os, sys
from airlock.steps.process import OwnPython
step = OwnPython([sys.argv[1], "--spec", sys.argv[2]], dict(os.environ))
print(step.pid, flush=True)
for line in step.lines():
    print(line, flush=True)
"""


class ProbeOperator(SubprocessPlace, StepOperator):
    """Runs the step ``probe`` on the worker."""

    step = "probe"
    template_fields = ("what", "value")

    def __init__(self, *, what: str, value: int = 0, **kwargs: Any) -> None:
        super().__init__(**{"task_id": "task", "cache": False} | kwargs)
        self.what = what
        self.value = value


@pytest.fixture(autouse=True)
def probe(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the step ``probe`` known here and in children."""
    folder = install(tmp_path / "plugins")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))


class Started(threading.Thread):
    """A task that runs beside the test."""

    def __init__(self, operator: ProbeOperator, asked: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.operator, self.context = operator, asked
        self.result: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.operator.execute(self.context)
        except (AirflowException, SystemExit) as error:
            self.error = error

    def pids(self, count: int = 1) -> list[int]:
        """Wait for the step's processes."""
        end = time.monotonic() + 30
        while len(self.operator._processes) < count:
            assert time.monotonic() < end
            time.sleep(0.01)
        return [process.pid for process in self.operator._processes]


def gone(pid: int, seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


class TestTheEndOfATask:
    def test_a_caller_that_is_killed_takes_a_step_of_its_own_python_along(self, home: Path) -> None:
        command = [sys.executable, "-c", PARENT, "probe", "specs/orphan.json"]
        ProbeOperator(what="sleep").artifacts.create_document("specs/orphan.json", spec_of("sleep", 600))
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
            assert caller.stdout is not None
            pid = int(caller.stdout.readline())
            assert caller.stdout.readline() == "begun\n"
            caller.kill()
            assert gone(pid), "The step outlived its caller."

    def test_a_stopped_task_leaves_no_process_and_starts_none(self) -> None:
        task = Started(ProbeOperator(what="sleep", value=600), context())
        (pid,) = task.pids()
        task.operator.on_kill()
        task.join(30)
        assert isinstance(task.error, AirflowException)
        assert "was stopped" in str(task.error)
        assert gone(pid)

    def test_a_step_that_is_over_takes_its_children_along(self, tmp_path: Path) -> None:
        task = Started(ProbeOperator(what="child"), context())
        task.join(60)
        assert task.result == {"told": "child"}, "A child that holds the output open holds nothing up."
        assert gone(int((tmp_path / "child").read_text()))

    def test_a_worker_that_was_killed_around_the_task_ends_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        supervised = type("Comms", (), {"socket": None})()
        monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", supervised, raising=False)
        task = Started(ProbeOperator(what="sleep", value=600), context())
        (pid,) = task.pids()
        monkeypatch.setattr(os, "getppid", lambda: 1)
        task.join(30)
        assert isinstance(task.error, SystemExit)
        assert gone(pid)


class TestHowItEnded:
    def test_asked_to_end_it_is_started_again(self, profiles: Callable[[str], None]) -> None:
        profiles('{"local": {"place": "subprocess", "restart_delay": 0.01}}')
        asked = context()
        task = Started(ProbeOperator(what="once"), asked)
        (pid,) = task.pids()
        end = time.monotonic() + 30
        while task.is_alive() and "restarted" not in asked["task_state_store"].get("state", ""):
            os.kill(pid, signal.SIGTERM)
            assert time.monotonic() < end
            time.sleep(0.2)
        task.join(60)
        assert task.result == {"told": "once"}
        assert asked["task_state_store"]["state"] == "restarted 1 of 10: was asked to end"

    def test_its_own_end_is_its_own_fault(self) -> None:
        with pytest.raises(AirflowFailException, match="ended with status 3 and left no result"):
            ProbeOperator(what="exit", value=3).execute(context())

    def test_killed_by_the_kernel_for_memory_it_fails_with_the_figure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kills = iter(range(100))
        monkeypatch.setattr(memory, "kills", lambda: next(kills))
        task = Started(ProbeOperator(what="sleep", value=600), context())
        (pid,) = task.pids()
        time.sleep(3)
        os.kill(pid, signal.SIGKILL)
        task.join(30)
        assert isinstance(task.error, AirflowFailException)
        figure = str(task.error).partition("held at least ")[2].partition(" GiB")[0]
        assert 0 < float(figure) < 1
        assert "on_out_of_memory" in str(task.error)

    def test_a_memory_error_goes_on_with_the_bigger_profile(self, profiles: Callable[[str], None]) -> None:
        profiles('{"big": {"place": "subprocess"}, "small": {"place": "subprocess", "on_out_of_memory": "big"}}')
        asked = context()
        assert ProbeOperator(what="memory error once", compute="small").execute(asked) == {"told": "memory error once"}
        assert asked["task_state_store"]["restarts"]["compute"] == "big"


class TestTwoWorkers:
    def test_they_meet_and_the_first_ones_result_is_the_steps(self, capfd: pytest.CaptureFixture[str]) -> None:
        told = ProbeOperator(what="meet", compute="local:x2").execute(context())["told"].split(",")
        assert len(set(told)) == 2
        shown = capfd.readouterr().out
        assert [shown.count(f"[{index}] worker {index} of") for index in (0, 1)] == [1, 1]

    def test_when_one_dies_all_start_again(self, profiles: Callable[[str], None]) -> None:
        profiles('{"local": {"place": "subprocess", "restart_delay": 0.01}}')
        asked = context()
        task = Started(ProbeOperator(what="meet", value=1, compute="local:x2"), asked)
        first, second = task.pids(2)
        os.kill(second, signal.SIGKILL)
        task.join(60)
        assert len(task.result["told"].split(",")) == 2
        assert gone(first)
        assert asked["task_state_store"]["restarts"]["interrupted"] == 1

    def test_the_fault_of_one_is_the_steps(self) -> None:
        with pytest.raises(AirflowFailException, match="worker 1 fails"):
            ProbeOperator(what="second fails", compute="local:x2").execute(context())


def spec_of(what: str, value: int) -> bytes:
    import msgspec

    from airlock.steps.contract import RunInfo, Spec

    run = RunInfo(dag="d", run="r", task="orphan")
    return msgspec.json.encode(
        Spec(step="probe", inputs={"what": what, "value": value}, run=run, result="results/o.json")
    )
