"""A real training of digits in pods, against a real MLflow: interrupted, it is one run with one curve."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from airlock import settings as settings_module
from airlock.operators.pods.twins import TrainPodOperator
from airlock.stores.artifacts import open_artifacts
from tests.kubernetes.cluster import TestCluster
from tests.kubernetes.conftest import Task
from tests.model.conftest import CLASSES, SMALL_NETWORK, builtins, store_tensors

pytestmark = pytest.mark.kubernetes
EPOCHS = 120
EPOCH = re.compile(rf"(\d+)/{EPOCHS} epoch")


@pytest.fixture
def training_in_a_pod(
    profile: Callable[..., None],
    home: Path,
    mlflow_server: str,
    digits: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., TrainPodOperator]:
    """Give ``training_in_a_pod(experiment, compute="test", **parameters)``: a train task of a minute or less."""
    monkeypatch.setenv("AIRLOCK_TRACKING", mlflow_server)
    settings_module.settings.cache_clear()
    artifacts = open_artifacts((home / "artifacts").as_uri())
    (home / "network.py").write_text(SMALL_NETWORK)
    tensors = builtins(store_tensors(artifacts, home / "tensors", digits))

    def make(experiment: str, compute: str = "test", **more: Any) -> TrainPodOperator:
        return TrainPodOperator(
            task_id=experiment,
            compute=compute,
            tensors=tensors,
            code=str(home / "network.py"),
            classes=CLASSES,
            parameters={"epochs": EPOCHS, "batch_size": 32, "learning_rate": 0.001} | more,
            seed=7,
            experiment=experiment,
        )

    return make


def only_run(server: str, name: str) -> tuple[Any, list[int]]:
    """Return the one run of an experiment, and the epochs of its curve as they were logged."""
    client = mlflow.MlflowClient(server)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    return run, [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")]


class TestATrainingInAPod:
    def test_goes_on_in_the_next_pod_when_its_own_is_deleted(
        self,
        training_in_a_pod: Callable[..., TrainPodOperator],
        start: Callable[..., Task],
        cluster: TestCluster,
        mlflow_server: str,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        task = start(operator=training_in_a_pod("interrupted"))
        pod = cluster.running(task="interrupted")
        cluster.logged(pod, '"done":30,', seconds=180)
        cluster.kubectl("delete", "pod", pod, "--wait=false")
        outputs = task.result(400)
        assert task.said["restarts"]["interrupted"] == 1
        assert outputs["epochs"] == EPOCHS
        shown = [int(number) for number in EPOCH.findall(capfd.readouterr().out)]
        assert shown == list(range(1, EPOCHS + 1)), "Nothing was trained twice, and nothing left out."

        run, steps = only_run(mlflow_server, "interrupted")
        assert (run.info.run_id, run.info.status) == (outputs["run"]["run_id"], "FINISHED")
        assert steps == list(range(1, EPOCHS + 1)), "The curve of one run, without a gap or a repetition."


class TestATrainingInTwoPods:
    @pytest.mark.parametrize("backend", ["tensorflow", "torch"])
    def test_is_one_training(
        self,
        training_in_a_pod: Callable[..., TrainPodOperator],
        start: Callable[..., Task],
        cluster: TestCluster,
        mlflow_server: str,
        capfd: pytest.CaptureFixture[str],
        backend: str,
    ) -> None:
        name = f"shared-{backend}"
        task = start(operator=training_in_a_pod(name, compute="test:x2", backend=backend, epochs=5))
        pods = set()
        while not task.ends.done():
            pods |= {pod["metadata"]["name"] for pod in cluster.pods(task=name)}
            time.sleep(0.5)
        assert task.result()["epochs"] == 5
        assert len(pods) == 2
        run, steps = only_run(mlflow_server, name)
        assert (run.info.status, steps) == ("FINISHED", [1, 2, 3, 4, 5])
        assert cluster.gone(task=name)
