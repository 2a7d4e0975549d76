"""Workers that are killed, and tasks that are stopped: pods are taken over or taken away."""

import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from airflow.callbacks.callback_requests import TaskCallbackRequest
from airflow.dag_processing.dagbag import DagBag
from airflow.dag_processing.processor import _execute_task_callbacks
from airflow.sdk.exceptions import AirflowException

from tests.kubernetes.cluster import TestCluster, processes
from tests.kubernetes.conftest import Task
from tests.kubernetes.worker import work

pytestmark = pytest.mark.kubernetes
DAG_FILE = """
from airflow.sdk import DAG
from tests.kubernetes.probe import ProbePodOperator
with DAG("digits_model"):
    ProbePodOperator(what="count", value=200, task_id="given-up")
"""
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
        (tmp_path / "dag.py").write_text(DAG_FILE)
        give_up(tmp_path / "dag.py", "given-up")
        assert cluster.gone(task="given-up")
        assert processes("/given-up/1.json") == []


def give_up(path: Path, task: str) -> None:
    """Do what the DAG processor does when the scheduler has had no heartbeat of a task's last try."""
    now = datetime.now(UTC)
    instance = {
        "id": uuid.uuid4(),
        "dag_version_id": uuid.uuid4(),
        "task_id": task,
        "dag_id": "digits_model",
        "run_id": "run",
        "try_number": 1,
        "map_index": -1,
    }
    run = {
        "dag_id": "digits_model",
        "run_id": "run",
        "run_type": "manual",
        "state": "running",
        "consumed_asset_events": [],
    }
    run |= {"logical_date": now, "run_after": now, "start_date": now, "conf": {}}
    run |= dict.fromkeys(("data_interval_start", "data_interval_end", "end_date", "partition_key"))
    request = TaskCallbackRequest.model_validate(
        {
            "filepath": str(path),
            "bundle_name": "dags",
            "bundle_version": None,
            "msg": "no heartbeat",
            "ti": instance,
            "task_callback_type": "failed",
            "context_from_server": {"dag_run": run, "max_tries": 0},
        }
    )
    _execute_task_callbacks(DagBag(str(path)), request, structlog.get_logger())


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
