"""Builds and starts the images for real, where a container engine answers. How to get one: docs/containers.md."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from airlock.steps.contract import RunInfo, Spec, decode_result
from airlock.stores.artifacts import open_artifacts

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
BASE = "python:3.11-slim-bookworm"
LARGE = "AIRLOCK_TEST_LARGE_IMAGES"


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], cwd=ROOT, capture_output=True, text=True, check=check)


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    """Skip unless an engine answers and the base image is there or can be pulled."""
    if not shutil.which("docker"):
        pytest.skip("docker is not installed")
    if docker("version", check=False).returncode:
        pytest.skip("no container engine answers `docker version`")
    if docker("image", "inspect", BASE, check=False).returncode and docker("pull", BASE, check=False).returncode:
        pytest.skip(f"{BASE} is not here and cannot be pulled; docs/containers.md makes a stand-in")


def build(name: str) -> str:
    tag = f"airlock/{name}:test"
    done = docker("build", "--network=host", "-f", f"deploy/images/{name}/Dockerfile", "-t", tag, ".", check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return tag


@pytest.fixture(scope="module")
def server() -> str:
    """Give the built server image."""
    return build("server")


@pytest.fixture(scope="module")
def step() -> str:
    """Give the built step image."""
    if not os.environ.get(LARGE):
        pytest.skip(f"the step image takes gigabytes and minutes; set {LARGE}=1")
    return build("step")


@pytest.fixture(scope="module")
def airflow() -> str:
    """Give the built Airflow image."""
    if not os.environ.get(LARGE):
        pytest.skip(f"the airflow image takes gigabytes and minutes; set {LARGE}=1")
    return build("airflow")


class TestServer:
    @pytest.fixture
    def container(self, server: str) -> Iterator[str]:
        """Give a running container whose database is away."""
        variables = {
            "AIRLOCK_DATABASE": "postgresql://airlock_app:none@127.0.0.1:1/airlock",
            "AIRLOCK_ARTIFACTS": "file:///home/airlock/state/artifacts",
        }
        options = [f"--env={name}={value}" for name, value in variables.items()]
        name = docker("run", "--detach", "--cap-drop=ALL", *options, server).stdout.strip()
        yield name
        docker("rm", "--force", name)

    def test_is_healthy_before_anything_is_deployed_and_stops_when_asked(self, container: str) -> None:
        deadline = time.monotonic() + 90
        while (state := docker("inspect", "-f", "{{.State.Health.Status}}", container).stdout.strip()) == "starting":
            assert time.monotonic() < deadline
            time.sleep(1)
        assert state == "healthy", docker("logs", container, check=False)
        started = time.monotonic()
        docker("stop", "--time=30", container)
        assert time.monotonic() - started < 15, "the reconciler must end on SIGTERM"
        assert docker("inspect", "-f", "{{.State.ExitCode}}", container).stdout.strip() == "0"

    def test_runs_as_nobody_in_particular_without_airflow_or_tensorflow(self, server: str) -> None:
        script = (
            "import os, importlib.util as u;"
            "print(os.getuid(), [n for n in ('airflow', 'tensorflow', 'mlflow', 'pandas') if u.find_spec(n)])"
        )
        assert docker("run", "--rm", "--entrypoint=python", server, "-c", script).stdout.strip() == "10001 []"

    def test_layers_hold_neither_secrets_nor_the_rest_of_the_repository(self, server: str) -> None:
        assert not re.search(r"password|secret|token", docker("history", "--no-trunc", server).stdout, re.I)
        found = docker(
            "run",
            "--rm",
            "--user=0",
            "--entrypoint=find",
            server,
            "/",
            "-xdev",
            "-name",
            ".env*",
            "-o",
            "-name",
            ".git",
        )
        assert found.stdout.strip() == ""


class TestStep:
    def test_runs_a_step_against_a_mounted_store(self, step: str, tmp_path: Path) -> None:
        store = open_artifacts(tmp_path.as_uri())
        run = RunInfo(dag="d", run="r", task="t")
        spec = Spec(step="nothing", inputs={"value": 7}, run=run, result="results/one.json")
        store.create_document("specs/one.json", msgspec.json.encode(spec))
        for path in (tmp_path, *tmp_path.rglob("*")):
            path.chmod(0o777)  # user 10001 writes here
        options = ["--env=AIRLOCK_ARTIFACTS=file:///store", f"--volume={tmp_path}:/store"]
        docker("run", "--rm", *options, step, "nothing", "--spec", "specs/one.json")
        assert decode_result(store.document("results/one.json"), "one").outputs == {"value": 7}

    def test_has_what_training_needs_and_no_airflow(self, step: str) -> None:
        script = (
            "import importlib.util as u, tensorflow, mlflow, lance, great_expectations; print(u.find_spec('airflow'))"
        )
        done = docker("run", "--rm", "--entrypoint=python", step, "-c", script, check=False)
        assert done.stdout.strip().endswith("None"), done.stderr


class TestAirflow:
    def test_parses_every_packaged_dag(self, airflow: str) -> None:
        script = (
            "from airflow.dag_processing.dagbag import DagBag; import airlock, pathlib;"
            "bag = DagBag(str(pathlib.Path(airlock.__file__).parent / 'dags'));"
            "print(bag.import_errors or sorted(bag.dags))"
        )
        done = docker("run", "--rm", airflow, "python", "-c", script, check=False)
        assert "digits" in done.stdout.splitlines()[-1], done.stdout + done.stderr
