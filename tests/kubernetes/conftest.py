"""The cluster, tasks that run on it, and workers that can be killed."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import airlock
from airlock import settings as settings_module
from tests.governed import home
from tests.kubernetes.cluster import TestCluster, script, state_folder
from tests.kubernetes.probe import ProbePodOperator, install
from tests.kubernetes.profile import NAMESPACE, host_profile
from tests.kubernetes.site import cluster_stack, host_image
from tests.model.conftest import artifacts, digits, few_digits, mlflow_server, training
from tests.operators.conftest import context

__all__ = ["artifacts", "cluster_stack", "digits", "few_digits", "home", "host_image", "mlflow_server", "training"]

NUMBERS = itertools.count(1)
Run = Callable[..., "Future[Any]"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[TestCluster]:
    """Start a real Kubernetes for the session, unless one runs already, and take it away afterwards."""
    command, kubeconfig = script(), state_folder() / "run" / "admin.kubeconfig"
    found = TestCluster(kubeconfig, NAMESPACE)
    started = not found.answers()
    if started:
        if kubeconfig.exists():  # of a session that was killed
            subprocess.run([command, "down"], capture_output=True, timeout=180, check=False)
        done = subprocess.run([command, "up"], capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            subprocess.run([command, "down"], capture_output=True, timeout=120, check=False)
            pytest.skip(f"Kubernetes did not start: {(done.stdout + done.stderr)[-1000:]}")
    try:
        found.kubectl("create", "namespace", NAMESPACE, check=False)
        _wait_for_service_account(found)
        yield found
    finally:
        if started:
            subprocess.run([command, "down"], capture_output=True, timeout=180, check=False)
        else:
            found.kubectl("delete", "namespace", NAMESPACE, check=False)


def _wait_for_service_account(cluster: TestCluster) -> None:
    end = time.monotonic() + 60
    while "default" not in cluster.kubectl("get", "serviceaccounts", "-o", "name", check=False):
        assert time.monotonic() < end, "The namespace got no service account."
        time.sleep(0.2)


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("plugins"))


@pytest.fixture
def profile(home: Path, tmp_path_factory: pytest.TempPathFactory, plugins: Path, cluster: TestCluster,
            monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:  # fmt: skip
    """Give ``profile(name="test", **fields)``: adds a profile; ``test`` is there from the start."""
    known: dict[str, Any] = {}
    connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(cluster.kubeconfig)}}
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.syspath_prepend(str(plugins))

    def add(name: str = "test", **fields: Any) -> None:
        known[name] = host_profile([tmp_path_factory.getbasetemp()], plugins, **fields)
        path = home / f"profiles-{next(NUMBERS)}.json"
        path.write_text(json.dumps(known))
        monkeypatch.setenv("AIRLOCK_PROFILES", str(path))
        settings_module.settings.cache_clear()

    add()
    return add


class Task:
    """A task that runs in a thread of this process.

    :param said: its state store, where it shows what it does.
    """

    def __init__(self, operator: ProbePodOperator, asked: dict[str, Any], pool: ThreadPoolExecutor) -> None:
        self.operator = operator
        self.context = asked
        self.said = asked["task_state_store"]
        self.ends: Future[Any] = pool.submit(operator.execute, asked)

    def result(self, seconds: float = 240) -> Any:
        return self.ends.result(seconds)

    def says(self, text: str, seconds: float = 60) -> str:
        """Wait until the task's visible state holds a text; return the state."""
        end = time.monotonic() + seconds
        while text not in (state := str(self.said.get("state", ""))):
            assert not self.ends.done(), f"It ended in the state {state!r}: {self.ends.exception()}"
            assert time.monotonic() < end, f"It says {state!r}, not {text!r}."
            time.sleep(0.1)
        return state


@pytest.fixture
def start(profile: Callable[..., None], cluster: TestCluster) -> Iterator[Callable[..., Task]]:
    """Give ``start(what, value, …)``: starts a probe as a task; what still runs at the end is stopped."""
    tasks: list[Task] = []
    with ThreadPoolExecutor(8) as pool:

        def begin(what: str = "", value: int = 0, operator: Any = None, **options: Any) -> Task:
            task_id = f"task{next(NUMBERS)}"
            made = operator or ProbePodOperator(what=what, value=value, task_id=task_id, **options)
            tasks.append(Task(made, context(made.task_id), pool))
            return tasks[-1]

        yield begin
        for task in tasks:
            if not task.ends.done():
                task.operator.on_kill()
    cluster.kubectl("delete", "jobs,pods", "--all", "--grace-period=1", "--wait=false")


@pytest.fixture
def worker(profile: Callable[..., None], tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Give ``worker(state, task, what, value)``: a worker in a process of its own, logging to ``worker.log``."""

    def begin(state: Path, task: str, what: str, value: int, *more: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-u", "-m", "tests.kubernetes.worker", str(state), task, what, str(value), *more]
        path = os.pathsep.join([str(Path(airlock.__file__).parents[1]), *sys.path[:1]])
        with (tmp_path / "worker.log").open("w") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, text=True, env=os.environ | {"PYTHONPATH": path})

    return begin
