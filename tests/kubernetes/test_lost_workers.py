"""Workers that are killed, and tasks that are stopped: pods are taken over or taken away."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException

from airlock.operators.step import given_up
from tests.kubernetes.cluster import TestCluster, processes
from tests.kubernetes.conftest import Task
from tests.kubernetes.probe import ProbePodOperator
from tests.kubernetes.worker import work
from tests.operators.conftest import context

pytestmark = pytest.mark.kubernetes
LINE = re.compile(r"line (\d{4})")


def killed_in_the_middle(worker: Callable[..., Any], cluster: TestCluster, tmp_path: Path, task: str) -> str:
    """Start a worker, kill it when its task's pod is half way; return the pod."""
    process = worker(tmp_path / "state.json", task, "count", 200)
    pod = cluster.running(task=task)
    cluster.logged(pod, "line 0060")
    deadline = time.monotonic() + 30
    while "line 0060" not in (tmp_path / "worker.log").read_text():
        assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()
        time.sleep(0.1)
    process.kill()
    process.wait()
    return pod


class TestALostWorker:
    def test_its_pod_is_taken_over_and_the_log_is_complete(
        self,
        worker: Callable[..., Any],
        cluster: TestCluster,
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        pod = killed_in_the_middle(worker, cluster, tmp_path, "lost")
        assert work(tmp_path / "state.json", "lost", "count", 200, attempt=2) == {"told": "count"}
        before = LINE.findall((tmp_path / "worker.log").read_text())
        after = capfd.readouterr().out
        assert f"Took over {pod}" in after
        assert before + LINE.findall(after) == [f"{number:04}" for number in range(200)], "None lost, none doubled."
        assert cluster.gone(task="lost")

    def test_a_pod_that_computes_something_else_is_not_taken_over(
        self, worker: Callable[..., Any], cluster: TestCluster, tmp_path: Path
    ) -> None:
        pod = killed_in_the_middle(worker, cluster, tmp_path, "changed")
        assert work(tmp_path / "state.json", "changed", "count", 3, attempt=2) == {"told": "count"}
        assert cluster.gone(task="changed")
        assert pod not in cluster.kubectl("get", "pods", "-o", "name")

    def test_a_task_that_airflow_gives_up_leaves_no_pod(
        self, worker: Callable[..., Any], cluster: TestCluster, tmp_path: Path
    ) -> None:
        killed_in_the_middle(worker, cluster, tmp_path, "given-up")
        operator = ProbePodOperator(what="count", value=200, task_id="given-up")
        assert given_up in operator.on_failure_callback, "Airflow's DAG processor calls what is named here."
        asked = context("given-up")
        del asked["task_state_store"]
        given_up({**asked, "task": operator})
        assert cluster.gone(task="given-up")
        assert processes("/given-up/1.json") == []


class TestAStoppedTask:
    def test_it_leaves_no_pod_and_starts_no_other(self, start: Callable[..., Task], cluster: TestCluster) -> None:
        task = start("sleep", 600)
        cluster.running(task=task.operator.task_id)
        task.operator.on_kill()
        with pytest.raises(AirflowException, match="was stopped"):
            task.result(30)
        assert cluster.gone(task=task.operator.task_id)
        assert processes(f"/{task.operator.task_id}/1.json") == []

    def test_it_leaves_none_that_waits_either(
        self, start: Callable[..., Task], cluster: TestCluster, profile: Callable[..., None]
    ) -> None:
        profile("gpu", resources={"nvidia.com/gpu": "1"})
        task = start("sleep", 600, compute="gpu")
        task.says("waiting for a place")
        task.operator.on_kill()
        with pytest.raises(AirflowException, match="was stopped"):
            task.result(30)
        assert cluster.gone(task=task.operator.task_id)
