"""Measures LiteRT files as they will be served, and compares two of them."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from airlock.errors import UserError
from airlock.governance.evaluations import Compression, Interval, Measured
from airlock.governance.statistics import wilson
from airlock.model.evaluation.figures import accuracy
from airlock.model.evaluation.showing import chosen, is_picture, pictures, predictions
from airlock.model.litert import LiteModel
from airlock.model.tensors import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 256
WARM_UP = 20
MOST_TIMED = 500


class Comparison(Compression, frozen=True, kw_only=True):
    """A compressed model against the original, and whether the trade is good enough."""

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
    (before, given_before), (after, given) = measure(original, split), measure(compressed, split)
    wrong = (given.argmax(axis=1) != split.y) | (given_before.argmax(axis=1) != split.y)
    return Comparison(
        method=method,
        original=before,
        compressed=after,
        points_lost=round(100 * (before.accuracy - after.accuracy), 6),
        ratio=round(after.bytes / before.bytes, 4),
        intervals={"original": _sure(given_before, split), "compressed": _sure(given, split)},
        predictions=predictions(split, given),
        original_predictions=predictions(split, given_before),
        errors=pictures(split, chosen(wrong, given)) if is_picture(split.x) else {},
    )


def measure(path: Path, split: Split) -> tuple[Measured, "NDArray[np.float32]"]:
    """Measure a file: size, accuracy on every sample, time of up to 500 single samples; return its answers too."""
    model = LiteModel(path)
    parts = [model.predict(np.asarray(split.x[at : at + BATCH])) for at in range(0, len(split.y), BATCH)]
    probabilities, times = np.concatenate(parts), _single_sample_times(model, split.x)
    measured = Measured(
        bytes=path.stat().st_size,
        accuracy=accuracy(probabilities, split.y),
        p50_ms=round(float(np.percentile(times, 50)), 4),
        p99_ms=round(float(np.percentile(times, 99)), 4),
    )
    return measured, probabilities


def _sure(probabilities: "NDArray[np.float32]", split: Split) -> Interval:
    hits = int((probabilities.argmax(axis=1) == split.y).sum())
    return wilson(hits, len(split.y)) or (0.0, 1.0)


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
