"""Measures LiteRT files as they will be served, and compares two of them."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from airlock.errors import UserError
from airlock.model.evaluation import accuracy
from airlock.model.litert import LiteModel
from airlock.model.tensors import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 256
WARM_UP = 20
MOST_TIMED = 500


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One file on one thread.

    :param p50_ms: median time of a single sample in milliseconds; ``p99_ms`` likewise.
    """

    bytes: int
    accuracy: float
    p50_ms: float
    p99_ms: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A compressed model against the original.

    :param points_lost: percentage points of accuracy; negative when it gained.
    :param ratio: the compressed model's bytes as a share of the original's.
    """

    method: str
    original: Measured
    compressed: Measured
    points_lost: float
    ratio: float

    def require_at_most(self, max_points_lost: float) -> None:
        """Refuse a bad trade.

        :raises UserError: more points were lost.
        """
        if self.points_lost > max_points_lost:
            raise UserError(
                f"{self.method} loses {self.points_lost:.2f} points of accuracy ({self.original.accuracy:.4f} to "
                f"{self.compressed.accuracy:.4f}) for {self.ratio:.0%} of the size; "
                f"max_points_lost allows {max_points_lost:g}.",
                hint="Raise max_points_lost, or choose another method.",
            )


def compare(method: str, original: Path, compressed: Path, split: Split) -> Comparison:
    """Measure both files on the same samples."""
    before, after = measure(original, split), measure(compressed, split)
    return Comparison(
        method=method,
        original=before,
        compressed=after,
        points_lost=round(100 * (before.accuracy - after.accuracy), 6),
        ratio=round(after.bytes / before.bytes, 4),
    )


def measure(path: Path, split: Split) -> Measured:
    """Measure a file: size, accuracy on every sample, time of up to 500 single samples."""
    model = LiteModel(path)
    parts = [model.predict(np.asarray(split.x[at : at + BATCH])) for at in range(0, len(split.y), BATCH)]
    times = _single_sample_times(model, split.x)
    return Measured(
        bytes=path.stat().st_size,
        accuracy=accuracy(np.concatenate(parts), split.y),
        p50_ms=round(float(np.percentile(times, 50)), 4),
        p99_ms=round(float(np.percentile(times, 99)), 4),
    )


def _single_sample_times(model: LiteModel, x: "NDArray[np.uint8]") -> list[float]:
    samples = [np.asarray(x[at : at + 1]) for at in range(min(len(x), MOST_TIMED))]
    for sample in samples[:WARM_UP]:
        model.predict(sample)
    times = []
    for sample in samples:
        begun = time.perf_counter()
        model.predict(sample)
        times.append((time.perf_counter() - begun) * 1000)
    return times
