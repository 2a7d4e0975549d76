"""What a file costs and answers on its own runtime, in a process of its own.

A fresh process has nothing in memory but Python, numpy and the runtime, and nothing left of a training to slow it down.
"""

import gzip
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from airlock.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from airlock.model.runnable import RunnableModel

BATCH = 256
WARM_UP = 20
MOST_TIMED = 500
PATIENCE = 1800.0  # seconds; a model that takes longer is not one to serve


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """See :class:`airlock.governance.evaluations.Measured`."""

    p50_ms: float
    p99_ms: float
    peak_bytes: int


class Probed(NamedTuple):
    """:param answers: probabilities ``[N, classes]`` by the name of the samples."""

    bytes: int
    gzip_bytes: int
    costs: Costs
    answers: "dict[str, NDArray[np.float32]]"


def probe(path: Path, samples: "Mapping[str, NDArray[Any]]", timed: str) -> Probed:
    """Measure a file.

    :param samples: by name.
    :param timed: the samples of which up to 500 are timed one by one.
    :raises UserError: the runtime cannot run it, or its answers are not numbers.
    """
    with tempfile.TemporaryDirectory(prefix="airlock-probe-", dir=path.parent) as name:
        folder = Path(name)
        for each, x in samples.items():
            np.save(folder / f"{each}_x.npy", x)
        costs = _asked(path, folder, [timed, *(each for each in samples if each != timed)])
        answers = {each: np.load(folder / f"{each}_answers.npy") for each in samples}
    for each, given in answers.items():
        if not np.isfinite(given).all():
            raise UserError(
                f"{int((~np.isfinite(given)).any(axis=1).sum())} of its answers to the {each} samples are not numbers.",
                hint="Take a method that keeps more of the weights' range.",
            )
    content = path.read_bytes()
    return Probed(len(content), len(gzip.compress(content, mtime=0)), costs, answers)


def _asked(path: Path, folder: Path, names: list[str]) -> Costs:
    command = [sys.executable, "-m", __name__, str(path), str(folder), *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"It did not answer within {PATIENCE:g} s.", hint="Take a method that makes the model faster."
        ) from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing was said"]
        raise UserError(
            f"Its runtime ended with status {done.returncode}: {said[-1]}.", hint="Take another method of compression."
        )
    return msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=Costs)


def main() -> None:
    """Answer the samples in a folder, and print what that cost."""
    from airlock.model.runtimes import open_model

    path, folder, (timed, *others) = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    model = open_model(Path(path))
    costs = _costs(model, _samples(folder, timed))
    for name in (timed, *others):
        x = _samples(folder, name)
        parts = [model.predict(np.asarray(x[at : at + BATCH])) for at in range(0, len(x), BATCH)]
        np.save(folder / f"{name}_answers.npy", np.concatenate(parts))
    sys.stdout.buffer.write(msgspec.json.encode(costs) + b"\n")


def _samples(folder: Path, name: str) -> "NDArray[Any]":
    found: NDArray[Any] = np.load(folder / f"{name}_x.npy", mmap_mode="r")
    return found


def _costs(model: "RunnableModel", x: "NDArray[Any]") -> Costs:
    from airlock.model.evaluation.footprint import peak_memory

    samples = [np.asarray(x[at : at + 1]) for at in range(min(len(x), MOST_TIMED))]
    for sample in samples[:WARM_UP]:
        model.predict(sample)
    times = []
    for sample in samples:
        begun = time.perf_counter()
        model.predict(sample)
        times.append((time.perf_counter() - begun) * 1000)
    p50, p99 = (round(float(value), 4) for value in np.percentile(times, [50, 99]))
    return Costs(p50_ms=p50, p99_ms=p99, peak_bytes=peak_memory())


if __name__ == "__main__":
    main()
