"""Steps forked by the warm host: the same step, with a caller and a host that may go away."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from airlock.settings import Settings
from airlock.steps.contract import RunInfo, Spec, decode_result
from airlock.steps.lifeline import STOPPED
from airlock.steps.process import HostedChild, OwnPython, host_answers, start_step
from airlock.stores.artifacts import ArtifactStore, open_artifacts

SLEEPER = """
import os, sys, time
import msgspec
ENVIRONMENT = ()
class Inputs(msgspec.Struct):
    seconds: float = 60.0
class Outputs(msgspec.Struct):
    told: str
def run(inputs, context):
    print("sleeping", flush=True)
    time.sleep(inputs.seconds)
    return Outputs(told=os.environ.get("TOLD", ""))
"""


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path), artifacts=(tmp_path / "artifacts").as_uri())


@pytest.fixture
def store(home: Settings) -> ArtifactStore:
    return open_artifacts(home.artifacts)


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A package that brings the step ``sleeper`` by its entry point."""
    folder = tmp_path / "plugins"
    metadata = folder / "sleeper-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "sleeper_step.py").write_text(SLEEPER)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: sleeper\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[airlock.steps]\nsleeper = sleeper_step\n")
    return folder


@pytest.fixture
def host(home: Settings, plugins: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | home.environment() | {"PYTHONPATH": str(plugins), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([sys.executable, "-m", "airlock.steps.host"], env=environment)
    deadline = time.monotonic() + 30
    while not host_answers(home.home):
        assert process.poll() is None, "the host ended"
        assert time.monotonic() < deadline, "the host does not answer"
        time.sleep(0.02)
    yield process
    process.kill()
    process.wait()


def order(home: Settings, store: ArtifactStore, step: str, **inputs: object) -> list[str]:
    run = RunInfo(dag="d", run="r", task="t", attempt=time.monotonic_ns())
    spec = Spec(step=step, inputs=inputs, run=run, result=f"results/{run.path}.json")
    store.create_document(f"specs/{run.path}.json", msgspec.json.encode(spec))
    return [step, "--spec", f"specs/{run.path}.json"]


def result_of(store: ArtifactStore, arguments: list[str]) -> object:
    return decode_result(store.document(arguments[-1].replace("specs/", "results/")), "").outputs


def gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid):
            return True
        time.sleep(0.02)
    return False


class TestWithHost:
    def test_the_step_runs_as_it_would_in_a_python_of_its_own(
        self, home: Settings, store: ArtifactStore, host: object
    ) -> None:
        arguments = order(home, store, "nothing", value=4)
        step = start_step(home.home, arguments, home.environment())
        assert isinstance(step, HostedChild)
        assert (list(step.lines()), step.wait()) == ([], 0)
        assert result_of(store, arguments) == {"value": 4}

    def test_it_gets_the_callers_environment_and_gives_its_lines(
        self, home: Settings, store: ArtifactStore, host: object
    ) -> None:
        arguments = order(home, store, "sleeper", seconds=0)
        step = start_step(home.home, arguments, home.environment() | {"TOLD": "this"})
        assert (list(step.lines()), step.wait()) == (["sleeping"], 0)
        assert result_of(store, arguments) == {"told": "this"}

    def test_a_killed_step_is_reported_as_killed(self, home: Settings, store: ArtifactStore, host: object) -> None:
        step = start_step(home.home, order(home, store, "sleeper"), home.environment())
        assert next(step.lines()) == "sleeping"
        os.killpg(step.pid, signal.SIGKILL)
        assert step.wait() == -signal.SIGKILL

    def test_a_step_that_is_asked_to_end_does_and_says_so(
        self, home: Settings, store: ArtifactStore, host: object
    ) -> None:
        arguments = order(home, store, "sleeper")
        step = start_step(home.home, arguments, home.environment())
        assert next(step.lines()) == "sleeping"
        os.killpg(step.pid, signal.SIGTERM)
        assert step.wait() == STOPPED
        assert store.document(arguments[-1].replace("specs/", "results/")) is None

    def test_a_caller_that_goes_away_leaves_no_step_behind(
        self, home: Settings, store: ArtifactStore, host: object
    ) -> None:
        step = start_step(home.home, order(home, store, "sleeper"), home.environment())
        assert isinstance(step, HostedChild)
        assert next(step.lines()) == "sleeping"
        step._host.close()
        assert gone(step.pid)

    def test_a_host_that_dies_takes_no_step_for_finished(
        self, home: Settings, store: ArtifactStore, host: subprocess.Popen[bytes]
    ) -> None:
        step = start_step(home.home, order(home, store, "sleeper"), home.environment())
        assert next(step.lines()) == "sleeping"
        host.kill()
        host.wait()
        assert step.wait() == -signal.SIGKILL

    def test_nobody_else_may_order(self, home: Settings, host: object) -> None:
        mode = (Path(home.home) / "run" / "steps.sock").stat().st_mode & 0o777
        assert mode == 0o600


class TestWithoutHost:
    def test_the_step_gets_a_python_of_its_own(self, home: Settings, store: ArtifactStore) -> None:
        arguments = order(home, store, "nothing", value=4)
        step = start_step(home.home, arguments, home.environment())
        assert isinstance(step, OwnPython)
        assert (list(step.lines()), step.wait()) == ([], 0)
        assert result_of(store, arguments) == {"value": 4}


def test_a_host_whose_source_was_changed_starts_a_new_python(
    home: Settings, store: ArtifactStore, plugins: Path
) -> None:
    program = (
        "from airlock.steps import host\n"
        f"server = host.Host(host.address({home.home!r}))\n"
        "server.loaded = 0\n"
        "server.serve()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], env=os.environ | home.environment()) as process:
        while not host_answers(home.home):
            time.sleep(0.02)
        environment = home.environment() | {"PYTHONPATH": str(plugins), "TOLD": "new"}
        arguments = order(home, store, "sleeper", seconds=0)
        step = start_step(home.home, arguments, environment)
        assert (list(step.lines()), step.wait()) == (["sleeping"], 0)
        assert result_of(store, arguments) == {"told": "new"}
        process.kill()
