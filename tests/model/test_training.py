"""Trainings that are stopped, resumed, warm started, sped up in places, and ones that go wrong."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airlock.errors import UserError
from airlock.model.network import Network
from airlock.model.tensors import Split
from airlock.model.training import CheckpointStore, Interrupted, Schedule, Trained, Training
from airlock.model.training.compiling import prepare
from airlock.stores.artifacts import ArtifactStore
from tests.model.conftest import CLASSES, SMALL_NETWORK

PARAMETERS = {"epochs": 4, "batch_size": 16, "learning_rate": 0.005}
Train = Callable[..., Trained]


@pytest.fixture
def network(tmp_path: Path) -> Network:
    path = tmp_path / "network.py"
    path.write_text(SMALL_NETWORK)
    return Network(path, (8, 8, 1), len(CLASSES), {})


@pytest.fixture
def train(artifacts: ArtifactStore, network: Network, few_digits: dict[str, Split]) -> Train:
    """Give ``train(key, report=…, stopping=…, parameters…)``."""

    def run(key: str = "one", **given: Any) -> Trained:
        ours = ("report", "stopping", "interval", "parent")
        options = {"report": lambda *_: None} | {name: given.pop(name) for name in ours if name in given}
        store = CheckpointStore(artifacts, key)
        training = Training(network, Schedule.of(PARAMETERS | given), 7, store, **options)
        return training.run(few_digits["train"], few_digits["validation"])

    return run


def after(batches: int) -> Callable[[], bool]:
    """Say yes when asked for the time that follows so many."""
    counter = itertools.count()
    return lambda: next(counter) >= batches


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


class TestATrainingThatIsStoppedBetweenTwoBatches:
    def test_goes_on_with_the_very_next_one_and_ends_with_the_same_weights(self, train: Train) -> None:
        whole = train("whole")
        seen: list[int] = []
        with pytest.raises(Interrupted, match=r"stopped in epoch 2, after 3 of 17 batches"):
            train("stopped", stopping=after(17 + 3), report=lambda epoch, _: seen.append(epoch))
        resumed = train("stopped", report=lambda epoch, _: seen.append(epoch))
        assert seen == [1, 2, 3, 4], "every epoch is reported once"
        assert same(resumed.model, whole.model), "dropout, order and optimizer went on where they were"

    def test_however_often_it_is_stopped(self, train: Train) -> None:
        whole = train("whole")
        for _ in range(6):
            with pytest.raises(Interrupted):
                train("often", stopping=after(9))
        resumed = train("often")
        assert same(resumed.model, whole.model)
        for mine, theirs in zip(resumed.history, whole.history, strict=True):
            assert mine["val_loss"] == theirs["val_loss"]
            assert mine["accuracy"] == pytest.approx(theirs["accuracy"], abs=0.02), "a mean over all of the epoch"

    def test_between_two_epochs_whose_first_was_not_saved(self, train: Train) -> None:
        whole = train("whole")
        seen: list[int] = []
        with pytest.raises(Interrupted, match=r"stopped in epoch 3, after 0 of 17 batches"):
            train("between", interval=3600.0, stopping=after(2 * 17), report=lambda epoch, _: seen.append(epoch))
        resumed = train("between", report=lambda epoch, _: seen.append(epoch))
        assert seen == [1, 2, 3, 4], "every epoch is reported once"
        assert same(resumed.model, whole.model)

    def test_before_the_first_batch_there_is_nothing_to_keep(self, train: Train, artifacts: ArtifactStore) -> None:
        with pytest.raises(Interrupted, match="after 0 of 17 batches"):
            train("early", stopping=lambda: True)
        assert CheckpointStore(artifacts, "early").load() is None


class TestACheckpoint:
    def test_is_written_in_the_middle_of_a_long_epoch(self, train: Train, artifacts: ArtifactStore) -> None:
        class GaveUp(Exception):
            pass

        def give_up(_epoch: int, _metrics: dict[str, float]) -> None:
            raise GaveUp

        with pytest.raises(GaveUp):
            train("long", interval=1e-6, report=give_up)
        found = CheckpointStore(artifacts, "long").load()
        assert found is not None
        assert (found.epoch, found.batch) == (0, 16)

    def test_that_is_damaged_is_not_used(self, train: Train, artifacts: ArtifactStore) -> None:
        with pytest.raises(Interrupted):
            train("damaged", stopping=after(20))
        document = artifacts.document("checkpoints/damaged")
        assert document is not None
        artifacts.replace_document("checkpoints/damaged", document[:-1] + b"!")
        seen: list[int] = []
        train("damaged", report=lambda epoch, _: seen.append(epoch))
        assert seen == [1, 2, 3, 4]

    def test_of_another_architecture_is_not_used(
        self, train: Train, artifacts: ArtifactStore, few_digits: dict[str, Split], tmp_path: Path
    ) -> None:
        with pytest.raises(Interrupted):
            train("other", stopping=after(20))
        (tmp_path / "wider.py").write_text(SMALL_NETWORK.replace("Dense(32", "Dense(48"))
        seen: list[int] = []
        wider = Network(tmp_path / "wider.py", (8, 8, 1), len(CLASSES), {})
        store = CheckpointStore(artifacts, "other")
        Training(wider, Schedule.of(PARAMETERS), 7, store, lambda epoch, _: seen.append(epoch)).run(
            few_digits["train"], few_digits["validation"]
        )
        assert seen == [1, 2, 3, 4]


class TestAWarmStart:
    def test_begins_with_the_parents_weights(self, train: Train) -> None:
        parent = train("parent")
        first: list[float] = []
        train("child", parent=parent.model, epochs=1, report=lambda _, metrics: first.append(metrics["loss"]))
        assert first[0] < parent.history[0]["loss"] / 2

    def test_from_a_model_with_nothing_in_common_is_refused(self, train: Train, tmp_path: Path) -> None:
        (tmp_path / "other.py").write_text(SMALL_NETWORK.replace("Dense(32", "Dense(48"))
        other = Network(tmp_path / "other.py", (8, 8, 1), 7, {}).build()
        with pytest.raises(UserError, match="no layer in common"):
            train("child", parent=other)


class TestLearningRatesByLayer:
    def test_a_rate_of_nothing_leaves_a_layer_as_it_was(self, train: Train, network: Network) -> None:
        start = train("start", epochs=1)
        name = next(layer.name for layer in start.model.layers if layer.name.startswith("dense"))
        network.rates = {name: 0.0}
        end = train("frozen", parent=start.model)
        before, after_training = start.model.get_layer(name).get_weights(), end.model.get_layer(name).get_weights()
        assert all(np.array_equal(a, b) for a, b in zip(before, after_training, strict=True))
        assert not same(start.model, end.model), "the others moved"

    def test_a_pattern_that_matches_nothing_is_named(self, train: Train, network: Network) -> None:
        network.rates = {"conv*": 0.1}
        with pytest.raises(UserError, match=r"No layer is called like 'conv\*'.*dense"):
            train()


class TestATrainingThatGoesWrong:
    def test_a_loss_that_grows_without_end_is_named(self, train: Train, network: Network, tmp_path: Path) -> None:
        (tmp_path / "growing.py").write_text(SMALL_NETWORK.replace("Dense(32,", "Dense(32, kernel_regularizer='l2',"))
        vars(network).update(vars(Network(tmp_path / "growing.py", (8, 8, 1), len(CLASSES), {})))
        with pytest.raises(UserError, match=r"The loss exploded: .* in epoch \d.*Lower learning_rate"):
            train("exploding", optimizer="sgd", learning_rate=120.0, batch_size=512, epochs=30)

    def test_a_label_outside_the_classes_is_named(self, few_digits: dict[str, Split]) -> None:
        from airlock.model.tensors import require_classes

        labels = few_digits["train"].y.copy()
        labels[5] = -1
        with pytest.raises(UserError, match="label -1"):
            require_classes(few_digits["train"]._replace(y=labels), CLASSES, "train")

    @pytest.mark.parametrize(
        ("parameters", "named"),
        [
            ({"optimizer": "magic"}, "optimizer"),
            ({"precision": "half"}, "precision"),
            ({"batch_size": 0}, "batch_size"),
        ],
    )
    def test_a_parameter_that_is_none_is_named(self, parameters: dict[str, Any], named: str) -> None:
        with pytest.raises(UserError, match=named):
            Schedule.of(parameters)


class TestConfiguration:
    @pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop"])
    def test_other_optimizers_learn(self, train: Train, optimizer: str) -> None:
        trained = train(optimizer, optimizer=optimizer, weight_decay=1e-4)
        assert trained.history[-1]["loss"] < trained.history[0]["loss"]

    def test_mixed_precision_and_xla_learn(
        self, train: Train, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "mixed.py").write_text(SMALL_NETWORK.replace('"softmax")', '"softmax", dtype="float32")'))
        mixed = Network(tmp_path / "mixed.py", (8, 8, 1), len(CLASSES), {})
        built: list[Any] = []
        from tensorflow.python.framework.config import disable_op_determinism

        def build() -> Any:
            built.append(mixed.build())
            return built[-1]

        monkeypatch.setattr(network, "build", build)
        disable_op_determinism()  # of the tests before: a training has a process of its own
        try:
            trained = train("mixed", precision="mixed_bfloat16", xla=True, epochs=2)
        finally:
            prepare(Schedule(), 0)
        assert built[0].jit_compile, "Keras gives XLA up with no more than a warning"
        assert {"bfloat16", "float32"} <= {layer.compute_dtype for layer in built[0].layers}
        assert {layer.compute_dtype for layer in trained.model.layers} == {"float32"}, "what is kept runs anywhere"
        assert trained.history[-1]["loss"] < trained.history[0]["loss"]


TORCH = """
import sys, numpy as np
from pathlib import Path
from airlock.model.training import CheckpointStore, Interrupted, Schedule, Training
from airlock.model.backend import load_keras
from airlock.model.tensors import load_split
from airlock.settings import Settings
from airlock.stores.layers import open_layers

folder = Path(sys.argv[1])
load_keras("torch")
from airlock.model.network import Network
store = open_layers(Settings(home=str(folder), artifacts=(folder / "artifacts").as_uri()))
schedule = Schedule.of({"epochs": 3, "batch_size": 16, "learning_rate": 0.005, "backend": "torch"})
network = Network(folder / "network.py", (8, 8, 1), 10, {})
splits = load_split(folder / "few", "train"), load_split(folder / "few", "validation")

def train(key, stop=None):
    left = [stop]
    def stopping():
        if left[0] is None: return False
        left[0] -= 1
        return left[0] < 0
    return Training(network, schedule, 7, CheckpointStore(store, key), lambda *_: None, stopping=stopping).run(*splits)

whole = train("whole")
try:
    train("stopped", 20)
    raise SystemExit("was not stopped")
except Interrupted:
    pass
resumed = train("stopped")
assert all(np.array_equal(a, b) for a, b in zip(whole.model.get_weights(), resumed.model.get_weights()))
assert whole.history[-1]["loss"] < whole.history[0]["loss"]
import keras
print(keras.backend.backend())
"""


class TestOnTorch:
    def test_it_trains_stops_and_resumes_the_same(
        self, artifacts: ArtifactStore, few_digits: dict[str, Split], tmp_path: Path
    ) -> None:
        from tests.model.conftest import store_tensors

        store_tensors(artifacts, tmp_path / "few", few_digits)
        (tmp_path / "network.py").write_text(SMALL_NETWORK)
        done = subprocess.run([sys.executable, "-c", TORCH, str(tmp_path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.strip() == "torch"
