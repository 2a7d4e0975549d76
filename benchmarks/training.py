"""A training against bare ``model.fit``: the same network, data, seed and epochs, one after the other in one process.

And what feeds it: tensors that lie on disk against arrays in memory and against image files.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from reporting import report

from airlock.model.backend import load_keras, seed_everything
from airlock.model.network import Network
from airlock.model.tensors import Split, load_split, save_split
from airlock.model.training import CheckpointStore, Schedule, Training
from airlock.model.training.feed import Feed
from airlock.settings import Settings
from airlock.stores.layers import open_layers

SAMPLES, HELD_OUT, SIDE = 4_000, 500, 28
BATCH, EPOCHS, SEED, ROUNDS = 64, 4, 7, 9
PIPELINE_EPOCHS, FILE_EPOCHS = 150, 15  # a pipeline takes 70 ms to be made, however much goes through it
NEVER = 1e9
OFTEN = 2.0  # seconds between checkpoints: far more often than the 10 that are usual
Ways = dict[str, Callable[[], Any]]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="airlock-bench-") as name:
        folder = Path(name)
        train, validation = splits(folder)
        network = Network(fashion(), (SIDE, SIDE, 1), 10, {})
        store = open_layers(Settings(home=name, artifacts=(folder / "artifacts").as_uri()))
        ways: Ways = {
            "fit": lambda: bare_fit(network, train, validation),
            "Airlock": lambda: trained(network, train, validation, CheckpointStore(store, "never"), NEVER),
            "often": lambda: trained(network, train, validation, CheckpointStore(store, "often"), OFTEN),
        }
        took = rounds(ways, f"s (often: a checkpoint every {OFTEN:g} s)")
        report("training_over_fit", middle(took["Airlock"], took["fit"]), 1.03)
        report("checkpoints_over_none", middle(took["often"], took["Airlock"]), 1.03)
        feeding(folder, train)


def rounds(ways: Ways, what: str) -> dict[str, list[float]]:
    """Time every way in every round, each round beginning with another one: a neighbour slows whoever has its turn."""
    names = list(ways)
    took: dict[str, list[float]] = {name: [] for name in names}
    for number in range(ROUNDS):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            took[name].append(timed(ways[name]))
        print(f"round {number + 1}: " + ", ".join(f"{name} {took[name][-1]:.2f}" for name in names), what, flush=True)
    return took


def middle(some: list[float], others: list[float]) -> float:
    """Return the median of the rounds' ratios."""
    return statistics.median(map(lambda a, b: a / b, some, others))


def splits(folder: Path) -> tuple[Split, Split]:
    """Make pictures of scikit-learn's digits, enlarged and noisy, as the transform step stores them."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    random = np.random.default_rng(SEED)
    chosen = random.integers(0, len(digits.target), SAMPLES + HELD_OUT)
    pictures = np.kron(digits.images[chosen] * 15, np.ones((1, 3, 3)))
    x = np.zeros((len(chosen), SIDE, SIDE, 1), np.uint8)
    x[:, 2:26, 2:26, 0] = np.clip(pictures + random.normal(0, 20, pictures.shape), 0, 255)
    y, ids = digits.target[chosen].astype(np.int64), np.array([f"{n:064}" for n in range(len(chosen))], "S64")
    for part, where in (("train", slice(SAMPLES)), ("validation", slice(SAMPLES, None))):
        save_split(folder, part, Split(x[where], y[where], ids[where]))
    return load_split(folder, "train"), load_split(folder, "validation")


def fashion() -> Path:
    """The network of the use case fashion."""
    package = find_spec("airlock.dags")
    assert package is not None
    assert package.submodule_search_locations is not None
    return Path(next(iter(package.submodule_search_locations))) / "fashion" / "network.py"


def bare_fit(network: Network, train: Split, validation: Split) -> None:
    """What everybody writes."""
    keras = load_keras()
    seed_everything(SEED)
    model = network.build()
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = np.array(train.x), np.array(train.y)
    held_out = np.array(validation.x), np.array(validation.y)
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, validation_data=held_out, validation_batch_size=BATCH, verbose=0)


def trained(network: Network, train: Split, validation: Split, checkpoints: CheckpointStore, interval: float) -> None:
    """The same by Airlock."""
    schedule = Schedule.of({"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": 1e-3})
    Training(network, schedule, SEED, checkpoints, lambda *_: None, interval=interval).run(train, validation)
    checkpoints.clear()


def feeding(folder: Path, train: Split) -> None:
    """Measure samples a second into nothing: no network keeps the feed waiting."""
    import tensorflow as tf

    load_keras()
    files = folder / "files"
    files.mkdir()
    for number in range(SAMPLES):
        Image.fromarray(train.x[number, ..., 0]).save(files / f"{number}.png")
    names, labels = [str(files / f"{number}.png") for number in range(SAMPLES)], np.array(train.y)
    memory = Split(np.array(train.x), labels, train.ids)

    def from_files() -> Any:
        def read(name: Any, label: Any) -> Any:
            return tf.io.decode_png(tf.io.read_file(name), 1), label

        data = tf.data.Dataset.from_tensor_slices((names, labels)).shuffle(SAMPLES, SEED).repeat(FILE_EPOCHS)
        return data.map(read, tf.data.AUTOTUNE).batch(BATCH).prefetch(2)

    def in_memory() -> Any:
        x, y = tf.constant(memory.x), tf.constant(memory.y)
        order = tf.data.Dataset.range(SAMPLES).shuffle(SAMPLES, SEED).repeat(PIPELINE_EPOCHS).batch(BATCH)
        return order.map(lambda b: (tf.gather(x, b), tf.gather(y, b)), tf.data.AUTOTUNE).prefetch(2)

    ways: Ways = {
        "stored tensors": lambda: drained(Feed(train, BATCH, SEED).from_place(1, 0, PIPELINE_EPOCHS, "tensorflow")),
        "arrays in memory": lambda: drained(in_memory()),
        "image files": lambda: drained(from_files()),
    }
    took = rounds(ways, f"s (files: {FILE_EPOCHS} epochs of {PIPELINE_EPOCHS})")
    more = PIPELINE_EPOCHS / FILE_EPOCHS
    report("feed_over_arrays", middle(took["arrays in memory"], took["stored tensors"]), 0.9, at_most=False)
    report("feed_over_files", more * middle(took["image files"], took["stored tensors"]), 3.0, at_most=False)


def drained(batches: Any) -> None:
    """Take every batch."""
    for _ in batches:
        pass


def timed(work: Callable[[], Any]) -> float:
    """Seconds that something takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
