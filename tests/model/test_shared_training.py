"""One training by two workers: the weights of one worker's, also when one of them is killed on the way."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from airlock import settings as settings_module
from airlock.errors import UserError
from airlock.model.storage import load_model
from airlock.model.training import Schedule
from airlock.model.training.sharing import TorchGroup
from airlock.operators.model import TrainOperator
from airlock.references import Artifact
from airlock.stores.artifacts import ArtifactStore, open_artifacts
from tests.governed import home
from tests.model.conftest import SMALL_NETWORK, training_inputs
from tests.operators.conftest import context

__all__ = ["home"]

EPOCHS = 6
NETWORK = SMALL_NETWORK.replace("        layers.Dropout(0.1),\n", "")


@pytest.fixture
def store(home: Path, mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    monkeypatch.setenv("AIRLOCK_TRACKING", mlflow_server)
    settings_module.settings.cache_clear()
    return open_artifacts((home / "artifacts").as_uri())


@pytest.fixture
def task(store: ArtifactStore, home: Path, few_digits: Any) -> Callable[..., TrainOperator]:
    """Give ``task(compute, experiment, **parameters)``: batches cannot be divided, the last one is shorter."""
    inputs = training_inputs(store, home / "tensors", few_digits)
    (home / "network.py").write_text(NETWORK)

    def make(compute: str, experiment: str, **more: Any) -> TrainOperator:
        given = inputs | {"code": str(home / "network.py"), "experiment": experiment}
        given["parameters"] = {"epochs": EPOCHS, "batch_size": 15, "learning_rate": 0.005} | more
        return TrainOperator(task_id="train", compute=compute, cache=False, checkpoint_seconds=0, **given)

    return make


def weights(store: ArtifactStore, outputs: dict[str, Any], folder: Path) -> list[Any]:
    model = outputs["model"]
    reference = Artifact(digest=model["digest"], size=model["size"], media_type=model["media_type"])
    found: list[Any] = load_model(store.fetch(reference, folder / f"{model['digest'][-8:]}.keras")).get_weights()
    return found


def alike(one: list[Any], other: list[Any]) -> bool:
    return all(np.allclose(a, b, atol=1e-4) for a, b in zip(one, other, strict=True))


@pytest.mark.integration
class TestTwoWorkers:
    def test_train_what_one_would_and_a_killed_one_costs_no_more_than_an_epoch(
        self, task: Callable[..., TrainOperator], store: ArtifactStore, tmp_path: Path, mlflow_server: str
    ) -> None:
        alone = task("local", "alone").execute(context("alone"))
        shared, asked = task("local:x2", "shared"), context("shared")
        thread = threading.Thread(target=kill_the_second, args=(shared, asked["task_state_store"]))
        thread.start()
        outputs = shared.execute(asked)
        thread.join()
        assert asked["task_state_store"]["restarts"]["interrupted"] == 1
        assert alike(weights(store, alone, tmp_path), weights(store, outputs, tmp_path))
        query = {"run_id": outputs["run"]["run_id"], "metric_key": "loss"}
        points = httpx.get(f"{mlflow_server}/api/2.0/mlflow/metrics/get-history", params=query).json()["metrics"]
        assert [int(point["step"]) for point in points] == list(range(1, EPOCHS + 1)), "one run, one curve"

    def test_on_pytorch_too(self, task: Callable[..., TrainOperator], store: ArtifactStore, tmp_path: Path) -> None:
        alone, shared = (
            task(compute, "torch", backend="torch", epochs=2).execute(context(name))
            for name, compute in (("alone", "local"), ("shared", "local:x2"))
        )
        assert alike(weights(store, alone, tmp_path), weights(store, shared, tmp_path))

    def test_do_not_compile_with_xla(self) -> None:
        with pytest.raises(UserError, match=r"`xla` .* 2 workers"):
            Schedule.of({"xla": True}).require_shareable(2)


def kill_the_second(operator: TrainOperator, said: dict[str, Any]) -> None:
    """Kill a worker after an epoch."""
    end = time.monotonic() + 240
    while not (said.get("progress") or {}).get("done") and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(operator._processes[1].pid, signal.SIGKILL)


@pytest.mark.parametrize("size", [1, 5, 6, 16])
def test_shares_weigh_as_much_as_their_batch(size: int) -> None:
    batch = np.arange(10, 10 + size)
    groups = [TorchGroup.__new__(TorchGroup) for _ in range(3)]
    for index, group in enumerate(groups):
        group.index, group.count = index, 3
    shares = [group.share(batch) for group in groups]
    assert len({len(places) for places, _ in shares}) == 1
    mean = np.mean([np.mean(places * given) for places, given in shares])
    assert mean == pytest.approx(batch.mean())
