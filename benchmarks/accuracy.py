"""How good the use cases are on samples that they never saw: fashion's published test files, and articles held back.

Each network is trained as its train step does: fashion with three seeds, of which the worst counts; the articles, which
have no published split, five times, so that each is held back once. The data is the part of both sets that
``AIRLOCK_TEST_DATA`` names, or ``shared/data`` beside the checkout.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from compression import fashion_splits, parted
from reporting import report

from airlock.dags.fashion import use_case as fashion
from airlock.dags.news import use_case as news
from airlock.governance.statistics import wilson
from airlock.model.backend import load_keras
from airlock.model.network import Network
from airlock.model.preprocessing import Preprocessor
from airlock.model.tensors import Split
from airlock.model.training import CheckpointStore, Schedule, Training
from airlock.settings import Settings
from airlock.stores.layers import open_layers

SEEDS, FOLDS, VALIDATION = 3, 5, 0.15
BESIDE = Path(__file__).parents[2] / "shared" / "data"


def fashion_rounds() -> list[dict[str, Split]]:
    """Return the published files, as often as there are seeds."""
    return [fashion_splits()] * SEEDS


def news_rounds() -> list[dict[str, Split]]:
    """Return the articles as the use case sees them, each text once; each is in the test split of one round."""
    with zipfile.ZipFile(Path(os.environ.get("AIRLOCK_TEST_DATA", BESIDE)) / "bbc-fulltext.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt")]
        found = {archive.read(name).decode("utf-8", "replace"): Path(name).parent.name for name in names}
    transform = Preprocessor(Path(news.TRANSFORM))
    x = np.stack([transform(text, "article") for text in found])
    y = np.array([news.CLASSES.index(label) for label in found.values()])
    folds = parted(x, y, [number / FOLDS for number in range(1, FOLDS)])
    rounds = []
    for number, test in enumerate(folds):
        others = Split(*(np.concatenate(part) for part in zip(*folds[:number], *folds[number + 1 :], strict=True)))
        train, validation = parted(others.x, others.y, [1 - VALIDATION])
        rounds.append({"train": train, "validation": validation, "test": test})
    return rounds


CASES: dict[str, tuple[Any, Any, float]] = {
    "fashion": (fashion, fashion_rounds, 0.78),
    "news": (news, news_rounds, 0.96),
}


def hits(use_case: Any, splits: dict[str, Split], seed: int) -> int:
    """Train, and count the test samples that are right."""
    with tempfile.TemporaryDirectory(prefix="airlock-bench-") as name:
        network = Network(
            Path(use_case.NETWORK), splits["train"].x.shape[1:], len(use_case.CLASSES), use_case.PARAMETERS
        )
        store = open_layers(Settings(home=name, artifacts=(Path(name) / "artifacts").as_uri()))
        schedule = Schedule.of(use_case.PARAMETERS)
        training = Training(network, schedule, seed, CheckpointStore(store, "bench"), lambda *_: None)
        model = training.run(splits["train"], splits["validation"]).model
    answers = model.predict(np.array(splits["test"].x), verbose=0).argmax(axis=1)
    return int((answers == splits["test"].y).sum())


def main() -> None:
    """Measure one use case, or each in a process of its own: Keras computes with one backend in each."""
    if not sys.argv[1:]:
        for name in CASES:
            subprocess.run([sys.executable, __file__, name], check=True)
        return
    name = sys.argv[1]
    use_case, rounds_of, target = CASES[name]
    load_keras(use_case.PARAMETERS.get("backend", "tensorflow"))
    rounds = rounds_of()
    counted = [hits(use_case, splits, seed) for seed, splits in enumerate(rounds)]
    totals = [len(splits["test"].y) for splits in rounds]
    if name == "fashion":  # the same samples each time
        counted, totals = [min(counted)], totals[:1]
    right, total = sum(counted), sum(totals)
    low, high = wilson(right, total)
    print(f"{name}: {right / total:.4f} ({low:.4f} to {high:.4f}) of {total}; by round {counted}", flush=True)
    report(f"accuracy_{name}", right / total, target, at_most=False)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
