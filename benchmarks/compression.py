"""Every method of compression on the networks of the use cases digits and fashion, each trained once.

For each use case one file is picked without the test samples: of those that are at most a quarter of the size, at
least twice as fast, and lose at most half a point on validation samples, the largest, which changes the model least.
What it loses is then said of the test samples, which have no say in the pick (the ways to pick from were chosen with
them in view: docs/benchmarks.md); its speed is the median of rounds that take turns with the original's, each in a
process of its own.

Fashion is the part of Fashion-MNIST that ``AIRLOCK_TEST_DATA`` names, or ``shared/data`` beside the checkout.
"""

import gzip
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from reporting import report

from airlock.dags.digits import use_case as digits
from airlock.dags.fashion import use_case as fashion
from airlock.governance.evaluations import Row
from airlock.model.compression.chains import decode_chains
from airlock.model.compression.method import Work
from airlock.model.compression.probe import Probed, probe
from airlock.model.compression.table import TEST, VALIDATION, Held, Table
from airlock.model.compression.workshop import Workshop
from airlock.model.network import Network
from airlock.model.tensors import Split
from airlock.model.training import CheckpointStore, Schedule, Training
from airlock.settings import Settings
from airlock.stores.layers import open_layers

CLASSES, ROUNDS, SIZE, POINTS, SPEED = 10, 7, 0.25, 0.5, 2.0
RETRAINED = {"epochs": 20, "batch_size": 32}
GENTLE = {"method": "structured_pruning", "keep": 0.9, **RETRAINED, "learning_rate": 1e-4}  # a tenth of the training's
PRUNED = {"method": "structured_pruning", "keep": 0.5, **RETRAINED}
THIN = {"method": "low_rank", **RETRAINED}
STUDENT = {"method": "distillation", "keep": 0.5, "epochs": 40, "batch_size": 32}
WAYS: list[Any] = [
    "litert_float32",
    "litert_dynamic",
    "litert_float16",
    "litert_int8",
    "onnx_float32",
    "onnx_int8_static",
    {"method": "magnitude_pruning", "sparsity": 0.8, **RETRAINED},
    [{"method": "magnitude_pruning", "sparsity": 0.8, **RETRAINED}, "litert_dynamic"],
    PRUNED,
    [PRUNED, "litert_dynamic"],
    [PRUNED, "litert_int8"],
    [PRUNED | {"keep": 0.75}, "litert_dynamic"],
    [GENTLE, "litert_dynamic"],
    THIN,
    [THIN, "litert_dynamic"],
    STUDENT,
    [STUDENT, "litert_dynamic"],
]


class Tried(NamedTuple):
    """A file, and its row of the table."""

    path: Path
    probed: Probed
    row: Row


def main() -> None:
    """Measure and print."""
    cases = {"digits": (digits, digits_splits), "fashion": (fashion, fashion_splits)}
    for name in sys.argv[1:] or cases:
        use_case, splits = cases[name]
        with tempfile.TemporaryDirectory(prefix="airlock-bench-") as folder:
            measure(name, use_case, splits(), Path(folder))


def measure(name: str, use_case: Any, splits: dict[str, Split], folder: Path) -> None:
    """Train, compress in every way, print the table and the ratios of one use case."""
    counts = ", ".join(f"{len(split.y)} {part}" for part, split in splits.items())
    print(f"== {name}: {counts} samples", flush=True)
    model = trained(use_case, splits, folder)
    work = Work(splits["train"], splits["validation"], CLASSES, use_case.SEED, Path, lambda *_: None)
    original, *others = compressed(Workshop(model, work), splits, folder)
    fit = [each for each in others if passes(each, original)]
    if not fit:
        print(f"{name}: nothing is small and fast enough and keeps to the rule on validation samples", flush=True)
    best = max(fit or others, key=lambda each: each.probed.bytes)
    speeds = [speed(original, best, splits) for _ in range(ROUNDS)]
    whole = best.row.test[0]
    print(
        f"{name}: {best.row.method} has {whole.accuracy:.4f} ({whole.interval[0]:.4f} to {whole.interval[1]:.4f}) on "
        f"{whole.count} test samples and loses {whole.points_lost:+.2f} points (95 %: {whole.points_interval[0]:+.2f} "
        f"to {whole.points_interval[1]:+.2f}); speeds {[round(each, 2) for each in speeds]}",
        flush=True,
    )
    report(f"compressed_size_{name}", best.probed.bytes / original.probed.bytes, SIZE)
    report(f"compressed_speed_{name}", statistics.median(speeds), SPEED, at_most=False)
    report(f"compressed_points_lost_{name}", whole.points_lost, POINTS)


def trained(use_case: Any, splits: dict[str, Split], folder: Path) -> Any:
    """Train the use case's network as its train step does."""
    network = Network(Path(use_case.NETWORK), splits["train"].x.shape[1:], CLASSES, use_case.PARAMETERS)
    store = open_layers(Settings(home=str(folder), artifacts=(folder / "artifacts").as_uri()))
    schedule = Schedule.of(use_case.PARAMETERS)
    training = Training(network, schedule, use_case.SEED, CheckpointStore(store, "bench"), lambda *_: None)
    return training.run(splits["train"], splits["validation"]).model


def compressed(workshop: Workshop, splits: dict[str, Split], folder: Path) -> list[Tried]:
    """Make and measure every file; the original first."""
    held = {name: Held(splits[name], []) for name in (TEST, VALIDATION)}
    found: list[Tried] = []
    table = None
    for number, chain in enumerate(decode_chains(WAYS)):
        path = folder / f"model{number}"
        workshop.make(chain, path)
        probed = probe(path, {name: each.split.x for name, each in held.items()}, TEST)
        table = table or Table(held, probed)
        found.append(Tried(path, probed, table.row(str(chain), chain.export.engine, probed)))
        print(line(found[-1], found[0]), flush=True)
    return found


def line(tried: Tried, original: Tried) -> str:
    """Return a row of the table as Markdown."""
    test, validation, costs = tried.row.test[0], tried.row.validation[0], tried.probed.costs
    cells = [
        tried.row.method,
        f"{tried.probed.bytes / 1024:.0f}",
        f"{tried.probed.gzip_bytes / 1024:.0f}",
        f"{tried.probed.bytes / original.probed.bytes:.3f}",
        f"{test.accuracy:.4f} ({test.interval[0]:.3f} to {test.interval[1]:.3f})",
        f"{test.points_lost:+.2f}",
        f"{validation.points_lost:+.2f}",
        f"{1000 * costs.p50_ms:.0f}",
        f"{1000 * costs.p99_ms:.0f}",
        f"{costs.peak_bytes / 1048576:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def passes(tried: Tried, original: Tried) -> bool:
    """Say whether a file is small and fast enough, and loses little enough on validation samples."""
    small = tried.probed.bytes <= SIZE * original.probed.bytes
    fast = tried.probed.costs.p50_ms * SPEED <= original.probed.costs.p50_ms
    return small and fast and tried.row.validation[0].points_lost <= POINTS


def speed(original: Tried, best: Tried, splits: dict[str, Split]) -> float:
    """Return how many times faster one is, both measured now."""
    before, after = (probe(each.path, {TEST: splits[TEST].x}, TEST).costs.p50_ms for each in (original, best))
    return before / after


def digits_splits() -> dict[str, Split]:
    """Return scikit-learn's digits as the use case sees and splits them, in chance order."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x = np.rint(found.images * 255 / 16).astype(np.uint8)[..., None]
    train, validation, test = parted(x, found.target, [0.70, 0.85])
    return {"train": train, "validation": validation, "test": test}


def fashion_splits() -> dict[str, Split]:
    """Return the part of Fashion-MNIST that is there; the published test files are the test split."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("AIRLOCK_TEST_DATA", beside)) / "fashion-mnist"
    train, validation = parted(*idx(folder, "train"), [0.85])
    (test,) = parted(*idx(folder, "t10k"), [])
    return {"train": train, "validation": validation, "test": test}


def parted(x: np.ndarray, y: np.ndarray, at: list[float]) -> list[Split]:
    """Split in chance order at some shares."""
    order = np.random.default_rng(0).permutation(len(y))
    ids = np.array([f"{place:064}" for place in range(len(y))], "S64")
    return [
        Split(x[part], y[part].astype(np.int64), ids[part])
        for part in np.split(order, [int(share * len(y)) for share in at])
    ]


def idx(folder: Path, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """Read pictures and labels from IDX files."""
    pictures, labels = (
        np.frombuffer(gzip.decompress((folder / f"{prefix}-{kind}-ubyte.gz").read_bytes()), np.uint8, offset=head)
        for kind, head in (("images-idx3", 16), ("labels-idx1", 8))
    )
    return pictures.reshape(-1, 28, 28, 1), labels


if __name__ == "__main__":
    main()
