"""Small real searches on real digits, PostgreSQL and MLflow."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from airlock.model.tensors import Split
from airlock.settings import Settings
from airlock.steps.context import StepContext
from airlock.steps.contract import Result, RunInfo, Spec
from airlock.steps.runner import run_spec
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.database import Database
from tests.model.conftest import CLASSES, builtins, store_tensors

NUMBERS = itertools.count(1)

# Little to compute; `units` and `fail` are there to be searched over.
NETWORK = """
import keras
from keras import layers


def build(shape, classes, parameters):
    if parameters.get("fail"):
        raise ValueError("asked to fail")
    return keras.Sequential([
        keras.Input(shape, dtype="uint8"),
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(parameters.get("units", 16), activation="relu"),
        layers.Dense(classes, activation="softmax"),
    ])
"""

SPACE: dict[str, Any] = {
    "trials": 4,
    "sampler": "random",
    "metric": "val_loss",
    "seed": 7,
    "vary": {"learning_rate": {"low": 0.001, "high": 0.02, "log": True}, "units": [8, 16]},
    "checkpoint_seconds": 0,
}


@pytest.fixture
def search_settings(tracked_settings: Settings, database: Database) -> Settings:
    """Give settings with an artifact store, the session's MLflow server and a fresh database."""
    return msgspec.structs.replace(tracked_settings, database=database.dsn)


@pytest.fixture
def inputs(artifacts: ArtifactStore, tmp_path: Path, few_digits: dict[str, Split]) -> dict[str, Any]:
    """Give inputs of a search of four trials of three epochs."""
    return {
        "tensors": {"only": builtins(store_tensors(artifacts, tmp_path / "few", few_digits))},
        "code": {"network.py": builtins(artifacts.put(NETWORK.encode()))},
        "classes": CLASSES,
        "parameters": {"epochs": 3, "batch_size": 64},
        "space": {**SPACE, "vary": dict(SPACE["vary"])},
        "seed": 7,
        "experiment": "search",
    }


def worker_spec(inputs: dict[str, Any], task: str = "search.worker_1", attempt: int = 1) -> Spec:
    """Return the spec of a worker's try."""
    info = RunInfo(dag="test", run="run", task=task, attempt=attempt)
    return Spec(step="search_trials", inputs=inputs, run=info, result=f"results/search-{next(NUMBERS)}.json")


def conclusion_spec(inputs: dict[str, Any]) -> Spec:
    """Return the spec of the conclusion."""
    info = RunInfo(dag="test", run="run", task="search.conclude")
    return Spec(step="conclude_search", inputs=inputs, run=info, result=f"results/search-{next(NUMBERS)}.json")


@pytest.fixture
def work(search_settings: Settings) -> Callable[..., Result]:
    """Give ``work(inputs, task=…, attempt=…, settings=…)``: runs a worker here."""

    def run(inputs: dict[str, Any], settings: Settings = search_settings, **kwargs: Any) -> Result:
        return run_spec(worker_spec(inputs, **kwargs), settings)

    return run


@pytest.fixture
def conclude(search_settings: Settings) -> Callable[..., Result]:
    """Give ``conclude(inputs)``: runs the conclusion here."""

    def run(inputs: dict[str, Any], settings: Settings = search_settings) -> Result:
        return run_spec(conclusion_spec(inputs), settings)

    return run


class Relay:
    """Passes connections on to a server until it is cut: a service that goes away, with everything else left up."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Close everything."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self._open:
            link.close()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(self._target)
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return


@pytest.fixture
def relay(mlflow_server: str) -> Iterator[Relay]:
    """Give a way to the session's MLflow server that can be cut."""
    made = Relay(mlflow_server)
    yield made
    if made._listener.fileno() >= 0:
        made.cut()


@pytest.fixture
def after_epoch(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Give ``after_epoch(number, act)``: has something happen once, when a trial reports an epoch."""

    def arrange(number: int, act: Callable[[], None]) -> None:
        def progress(self: StepContext, done: int, total: int = 0, unit: str = "step", **metrics: float) -> None:
            if metrics["epoch"] == number:
                monkeypatch.undo()
                act()

        monkeypatch.setattr(StepContext, "progress", progress)

    return arrange
