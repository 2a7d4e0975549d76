"""Waiting for services, and what is said when one does not come."""

import os
import sys
from pathlib import Path

import msgspec
import pytest

from airlock.errors import InfrastructureError
from airlock.launcher.layout import Layout
from airlock.launcher.phases import Phases
from airlock.launcher.services import Service
from airlock.launcher.starting import Starting, process_of
from airlock.launcher.stopping import stop_everything


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.create()
    return layout


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def starting(layout: Layout, said: list[str]):
    yield Starting(layout, Phases(said.append, every=0.2), patience=20)
    stop_everything(layout, Phases(said.append))


def service(layout: Layout, name: str, script: str) -> Service:
    return Service(
        name=name,
        command=[sys.executable, "-c", script],
        environment=dict(os.environ),
        cwd=layout.home,
        ready=lambda _started: (layout.home / f"{name}.ready").exists(),
    )


READY_SOON = "import pathlib, time; time.sleep(0.6); pathlib.Path('{}.ready').touch(); time.sleep(600)"


def test_several_services_are_waited_for_at_once_and_timed(starting: Starting, layout: Layout) -> None:
    names = ["mlflow", "scheduler"]

    def say(line: str) -> None:  # a long wait must give signs of life: it ends when one came
        if "waiting for mlflow, scheduler" in line:
            for name in names:
                (layout.home / f"{name}.ready").touch()

    starting.phases.say = say
    starting.launch([service(layout, name, "import time; time.sleep(600)") for name in names])
    starting.wait()
    assert sorted(phase.name for phase in starting.phases.done) == names


def test_a_service_that_dies_is_named_with_the_end_of_its_log(starting: Starting, layout: Layout) -> None:
    script = "import sys; [print('line', n) for n in range(50)]; sys.exit('no database')"
    starting.launch([service(layout, "scheduler", script)])
    with pytest.raises(InfrastructureError) as caught:
        starting.wait()
    assert "scheduler ended with exit status 1" in str(caught.value)
    assert str(layout.logs / "scheduler.log") in str(caught.value)
    assert "no database" in str(caught.value)
    assert "line 49" in str(caught.value)
    assert "line 10\n" not in str(caught.value), "only the last lines are shown"


def test_a_service_that_never_gets_ready_is_named(layout: Layout, said: list[str]) -> None:
    starting = Starting(layout, Phases(said.append), patience=0.5)
    starting.launch([service(layout, "mlflow", "import time; time.sleep(600)")])
    with pytest.raises(InfrastructureError, match="mlflow is not ready after"):
        starting.wait()
    stop_everything(layout, Phases(said.append))


def test_a_job_that_ends_well_is_done_and_one_that_fails_is_an_error(starting: Starting, layout: Layout) -> None:
    job = msgspec.structs.replace(service(layout, "bootstrap", "pass"), job=True)
    starting.launch([job])
    starting.wait(job="bootstrap")
    starting.launch([msgspec.structs.replace(job, command=[sys.executable, "-c", "raise SystemExit(2)"])])
    with pytest.raises(InfrastructureError, match="bootstrap ended with exit status 2"):
        starting.wait(job="bootstrap")


def test_what_an_earlier_start_left_is_stopped_first(starting: Starting, layout: Layout) -> None:
    declared = service(layout, "mlflow", READY_SOON.format("mlflow"))
    starting.launch([declared])
    starting.wait()
    first = process_of("mlflow", layout).leader()
    (layout.home / "mlflow.ready").unlink()
    starting.launch([declared])
    starting.wait()
    assert first is not None
    assert not first.is_running()


def test_the_databases_are_stopped_after_what_uses_them(starting: Starting, layout: Layout, said: list[str]) -> None:
    names = ["mlflow", "reconciler", "scheduler", "api-server"]
    starting.launch([service(layout, name, READY_SOON.format(name)) for name in names])
    starting.wait()
    assert stop_everything(layout, Phases(said.append)) == ["api-server", "scheduler", "reconciler", "mlflow"]
    assert not any(process_of(name, layout).members() for name in names)
    assert stop_everything(layout, Phases(said.append)) == []
