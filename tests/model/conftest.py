"""A real MLflow server for the session, real digits, and steps that run as their subprocess would."""

import hashlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from airlock.model.registry import Registry
from airlock.model.tensors import Split, save_split
from airlock.references import Artifact
from airlock.settings import Settings
from airlock.steps.contract import Result, RunInfo, Spec
from airlock.steps.runner import run_spec
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.layers import open_layers

CLASSES = [str(digit) for digit in range(10)]
USE_CASES = Path(__file__).parents[2] / "dags"
NUMBERS = itertools.count(1)

# Little to compute: what is tested with it is not how good it is.
SMALL_NETWORK = """
import keras
from keras import layers


def build(shape, classes, parameters):
    return keras.Sequential([
        keras.Input(shape, dtype="uint8"),
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(32, activation="relu"),
        layers.Dropout(0.1),
        layers.Dense(classes, activation="softmax"),
    ])
"""


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an MLflow tracking server on SQLite; give its URL."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/files"]
    with (folder / "log").open("wb") as log:
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(url, server, folder / "log")
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def _wait_until_healthy(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end and server.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    pytest.fail(f"MLflow did not start: {log.read_text()[-2000:]}")


@pytest.fixture
def tracked_settings(tmp_path: Path, mlflow_server: str) -> Settings:
    """Give settings with an empty artifact store and the session's MLflow server."""
    return Settings(home=str(tmp_path), artifacts=(tmp_path / "artifacts").as_uri(), tracking=mlflow_server)


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return open_layers(Settings(home=str(tmp_path), artifacts=(tmp_path / "artifacts").as_uri()))


@pytest.fixture
def registry(mlflow_server: str) -> Registry:
    return Registry(mlflow_server)


@pytest.fixture
def model_step(tracked_settings: Settings) -> Callable[..., Result]:
    """Give ``model_step(name, settings=…, attempt=…, task=…, **inputs)``, which returns the step's result."""

    def run(step: str, settings: Settings = tracked_settings, attempt: int = 1, **inputs: Any) -> Result:
        return run_spec(make_spec(step, inputs, attempt), settings)

    return run


def make_spec(step: str, inputs: dict[str, Any], attempt: int = 1, run: str = "run") -> Spec:
    """Return a spec whose result has a name of its own."""
    info = RunInfo(dag="test", run=run, task=step, attempt=attempt)
    return Spec(step=step, inputs=inputs, run=info, result=f"results/{next(NUMBERS)}.json")


@pytest.fixture(scope="session")
def digits() -> dict[str, Split]:
    """Give scikit-learn's 1,797 digits, split by the hash of their pixels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = np.rint(data.images * 255 / 16).astype(np.uint8)[..., None]
    return hash_split(x, data.target.astype(np.int64), 0.70, 0.85)


def hash_split(x: np.ndarray, y: np.ndarray, train: float, validation: float) -> dict[str, Split]:
    """Return splits by the share that a sample's digest is of the largest digest."""
    ids = np.array([hashlib.sha256(sample.tobytes()).hexdigest() for sample in x], "S64")
    shares = np.array([int(name[:8], 16) / 2**32 for name in ids])
    masks = (shares < train, (shares >= train) & (shares < validation), shares >= validation)
    return {
        name: Split(x[mask], y[mask], ids[mask])
        for name, mask in zip(("train", "validation", "test"), masks, strict=True)
    }


@pytest.fixture(scope="session")
def few_digits(digits: dict[str, Split]) -> dict[str, Split]:
    """Give a fifth of the digits."""
    return {name: Split(*(part[::5] for part in split)) for name, split in digits.items()}


def store_tensors(artifacts: ArtifactStore, folder: Path, splits: dict[str, Split]) -> Artifact:
    """Store splits as the transform step does."""
    folder.mkdir(parents=True)
    for name, split in splits.items():
        save_split(folder, name, split)
    return artifacts.put_tree(folder)


@pytest.fixture
def training(artifacts: ArtifactStore, tmp_path: Path, few_digits: dict[str, Split]) -> dict[str, Any]:
    """Give inputs of a train step that takes seconds."""
    return training_inputs(artifacts, tmp_path / "few", few_digits)


def training_inputs(artifacts: ArtifactStore, folder: Path, splits: dict[str, Split]) -> dict[str, Any]:
    """Return inputs of a train step on the small network."""
    return {
        "tensors": builtins(store_tensors(artifacts, folder, splits)),
        "code": builtins(artifacts.put(SMALL_NETWORK.encode())),
        "classes": CLASSES,
        "parameters": {"epochs": 3, "batch_size": 32, "learning_rate": 0.005},
        "seed": 7,
        "experiment": "digits",
    }


def builtins(reference: Any) -> dict[str, Any]:
    """Return a reference as a spec carries it."""
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(reference)
    return plain
