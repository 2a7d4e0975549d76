"""What a search costs: ASHA against plain random search, and Airlock's own work per trial against bare Optuna's.

Real trainings on scikit-learn's digits, an embedded PostgreSQL as the storage of both sides, and a real MLflow server
that only Airlock's side writes to. A training is the same bytes for the same parameters, so each is done once for both
searches of the first comparison: what counts there is the epochs that a search asks for.
"""

import hashlib
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
from reporting import report, show

from airlock.launcher.postgres import EmbeddedPostgres
from airlock.model.search.bench import Bench
from airlock.model.search.methods import make_pruner, make_sampler
from airlock.model.search.spec import Search, read_search
from airlock.model.search.stopping import Stopping
from airlock.model.search.study import Studies
from airlock.model.search.tracked import TrackedSearch
from airlock.model.search.trials import Outcome, Trials
from airlock.model.search.worker import Worker
from airlock.model.tensors import Split, save_split
from airlock.model.tracking import Tracking
from airlock.model.training import CheckpointStore
from airlock.stores.artifacts import open_artifacts
from airlock.stores.database import open_database
from airlock.stores.migrations import upgrade

SEEDS = range(5)
TRIALS, EPOCHS = 9, 27
MOST = 3 * TRIALS
ROUNDS, EACH, ROUND_EPOCHS = 10, 3, 15
BACKEND = "torch"  # no tracing: a training of seconds is a training, not its compilation
CLASSES = [str(digit) for digit in range(10)]
NETWORK = """
import keras
from keras import layers


def build(shape, classes, parameters):
    return keras.Sequential([
        keras.Input(shape, dtype="uint8"),
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(parameters["units"], activation=parameters["activation"]),
        layers.Dropout(parameters["dropout"]),
        layers.Dense(classes, activation="softmax"),
    ])
"""
VARY = {
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "units": {"low": 8, "high": 128, "log": True},
    "dropout": {"low": 0.0, "high": 0.6},
    "activation": ["relu", "tanh", "sigmoid"],
}
Report = Callable[[int, dict[str, float]], None]


class NoCheckpoints(CheckpointStore):
    """What the bare side keeps between interruptions: nothing."""

    def __init__(self) -> None:
        """Nothing to open."""

    def load(self) -> None:
        return None

    def save(self, checkpoint: Any) -> None:
        """Forget it."""

    def wait(self) -> None:
        """Nothing to wait for."""


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory(prefix="airlock-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        bench = make_bench(folder)
        with database(folder) as dsn:
            shares = [epochs_to_reach(dsn, bench, seed) for seed in SEEDS]
            print(f"epochs of ASHA over random search's, by seed: {[round(share, 3) for share in shares]}")
            report("asha_epochs_over_random", median(shares), 1 / 3)
            with mlflow_server(folder) as url:
                times = per_trial(dsn, url, bench)
    show("bare Optuna, a trial", times["bare"])
    show("Airlock, a trial", times["airlock"])
    own, bare_own = (1000 * median(times[name]) for name in ("airlock_own", "bare_own"))
    print(f"outside of the training, a trial: Airlock {own:.0f} ms, bare {bare_own:.0f} ms")
    # Of each round, as the machine is now faster and now slower.
    ratios = [ours / bare for ours, bare in zip(times["airlock"], times["bare"], strict=True)]
    report("airlock_trial_over_bare_optuna", median(ratios), 1.05)


def epochs_to_reach(dsn: str, bench: Bench, seed: int) -> float:
    """Epochs ASHA trained until it had random search's best figure, over those of random search.

    Both draw the same parameters for the same trial number; ASHA may go on to three times as many trials.
    """
    curves: dict[int, list[float]] = {}

    def train(trial: Any, report_value: Callable[[int, float], None]) -> None:
        if trial.number not in curves:
            history = bench.train(trial.params, NoCheckpoints(), 10.0, lambda *_: None).history
            curves[trial.number] = [metrics["val_loss"] for metrics in history]
        for epoch, value in enumerate(curves[trial.number], start=1):
            report_value(epoch, value)

    best = math.inf
    trials = trials_of(dsn, seed, TRIALS, "none")
    while (trial := trials.claim()) is not None:
        train(trial, lambda *_: None)
        trials.end(trial, min(curves[trial.number]), None)
        best = min(best, *curves[trial.number])
    spent = asha(trials_of(dsn, seed, MOST, "asha"), train, best)
    print(
        f"seed {seed}: best {best:.4f} after {TRIALS * EPOCHS} epochs at random, after {spent:g} with ASHA", flush=True
    )
    return spent / (TRIALS * EPOCHS)


def asha(trials: Trials, train: Callable[..., None], goal: float) -> float:
    """Epochs until a trial is as good as the goal; infinite when none ever is."""
    stopping, spent = Stopping(trials.study, trials.search), 0

    class Stop(Exception):
        """Of this trial, or of all."""

    reached = False
    while not reached and (trial := trials.claim()) is not None:
        reason = ""

        def judge(epoch: int, value: float, trial: Any = trial) -> None:
            nonlocal spent, reached, reason
            spent += 1
            latest = trials.study._storage.get_trial(trial._trial_id)
            stopping.report(trial, latest, epoch, {"val_loss": value})
            reached = value <= goal
            reason = stopping.reason(latest, epoch)
            if reached or reason:
                raise Stop

        with suppress(Stop):
            train(trial, judge)
        trials.end(trial, None, Outcome(reason=reason or "over"))
    return spent if reached else math.inf


def per_trial(dsn: str, url: str, bench: Bench) -> dict[str, list[float]]:
    """Seconds of a trial on both sides, in turns, after one round that nobody counts."""
    times: dict[str, list[float]] = {"bare": [], "airlock": [], "airlock_own": [], "bare_own": []}
    for number in range(ROUNDS + 1):
        sides = [("bare", bare_search), ("airlock", airlock_search)]
        for name, run in sides if number % 2 else reversed(sides):
            clock = Clock(bench)
            started = time.perf_counter()
            run(dsn, url, clock, number)
            taken = time.perf_counter() - started
            if number:
                times[name].append(taken / EACH)
                times[f"{name}_own"].append((taken - clock.seconds) / EACH)
    return times


def bare_search(dsn: str, _url: str, clock: "Clock", seed: int) -> None:
    """A search as Optuna's documentation writes it."""
    import optuna

    search = search_of(seed, EACH, "none", ROUND_EPOCHS)
    study = optuna.create_study(storage=Studies(open_database(dsn)).storage)

    def objective(trial: optuna.Trial) -> float:
        study.sampler = make_sampler(search.sampler, seed, trial.number)  # the same values as on the other side
        chosen = {name: each.suggest(trial, name) for name, each in search.vary.items()}

        def told(epoch: int, metrics: dict[str, float]) -> None:
            trial.report(metrics["val_loss"], epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        trained = clock.train(chosen, NoCheckpoints(), 10.0, told)
        return trained.history[trained.best_epoch - 1]["val_loss"]

    study.pruner = make_pruner(search.pruner, ROUND_EPOCHS)
    study.optimize(objective, n_trials=EACH)


def airlock_search(dsn: str, url: str, clock: "Clock", seed: int) -> None:
    """The same search by a worker: trials claimed, logged in MLflow, kept in checkpoints."""
    trials = trials_of(dsn, seed, EACH, "none", ROUND_EPOCHS)
    runs = TrackedSearch(Tracking(url), trials, "bench", {})
    worker = Worker(trials.search, trials, clock, runs, lambda *_: None, lambda error: ("user", repr(error)))
    assert worker.run() == EACH
    assert {trial.state.name for trial in trials.study.trials} == {"COMPLETE"}, trials.study.trials


class Clock(Bench):
    """A bench that times its trainings: ``seconds`` inside them, less what reports took."""

    def __init__(self, bench: Bench) -> None:
        parameters = bench.parameters | {"epochs": ROUND_EPOCHS, "batch_size": 64}
        super().__init__(bench.artifacts, bench.tensors, bench.code, bench.classes, parameters, bench.seed)
        self._splits = bench._splits
        self.seconds = 0.0

    def train(self, chosen: Any, checkpoints: CheckpointStore, interval: float, report: Report) -> Any:
        """Train, and take the time."""

        def timed(epoch: int, metrics: dict[str, float]) -> None:
            began = time.perf_counter()
            try:
                report(epoch, metrics)
            finally:
                self.seconds -= time.perf_counter() - began

        began = time.perf_counter()
        try:
            return super().train(chosen, checkpoints, interval, timed)
        finally:
            self.seconds += time.perf_counter() - began


def search_of(seed: int, trials: int, pruner: str, epochs: int = EPOCHS) -> Search:
    space = {"trials": trials, "sampler": "random", "pruner": pruner, "seed": seed, "vary": VARY}
    return read_search(space, {"epochs": epochs})


def trials_of(dsn: str, seed: int, trials: int, pruner: str, epochs: int = EPOCHS) -> Trials:
    search, studies = search_of(seed, trials, pruner, epochs), Studies(open_database(dsn))
    name = f"bench/{pruner}/{seed}/{time.time_ns()}"
    return Trials(studies, studies.begin(name, search.direction), search, "bench")


def make_bench(folder: Path) -> Bench:
    """Digits as tensors, split by the hash of their pixels, and the network."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x, y = np.rint(data.images * 255 / 16).astype(np.uint8)[..., None], data.target.astype(np.int64)
    ids = np.array([hashlib.sha256(sample.tobytes()).hexdigest() for sample in x], "S64")
    early = np.array([int(name[:8], 16) / 2**32 < 0.8 for name in ids])
    tensors = folder / "tensors"
    tensors.mkdir()
    for name, mask in (("train", early), ("validation", ~early)):
        save_split(tensors, name, Split(x[mask], y[mask], ids[mask]))
    code = folder / "network.py"
    code.write_text(NETWORK)
    artifacts = open_artifacts((folder / "artifacts").as_uri())
    base = {"epochs": EPOCHS, "batch_size": 256, "backend": BACKEND}
    return Bench(artifacts, {"only": tensors}, {"network.py": code}, CLASSES, base, 0)


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL with Airlock's schema; give the application's DSN."""
    server = EmbeddedPostgres(folder / "postgres", free_port())
    server.start()
    try:
        for role in ("owner", "app", "guard"):
            server.create_role(role, "bench")
        server.create_database("airlock", "owner", members=("app", "guard"))
        upgrade(server.dsn("owner", "bench", "airlock"), "app", "guard")
        yield server.dsn("app", "bench", "airlock")
    finally:
        server.stop()


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Run an MLflow server on SQLite; give its URL."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", url.rpartition(":")[2], "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/files"]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "mlflow.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        wait_until_healthy(url)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def wait_until_healthy(url: str) -> None:
    end = time.monotonic() + 180
    while True:
        try:
            if httpx.get(f"{url}/health", timeout=5).is_success:
                return
        except httpx.TransportError:
            assert time.monotonic() < end, "MLflow did not start"
        time.sleep(0.3)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
