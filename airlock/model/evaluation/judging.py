"""What the thresholds of a slice say about the figures there."""

from typing import TYPE_CHECKING

from airlock.errors import UserError
from airlock.governance.evaluations import Evaluation, Interval, Measurement, SliceFigures, Verdict
from airlock.governance.statistics import paired_difference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from airlock.model.evaluation.slices import Slice

THRESHOLDS = {
    "min_accuracy": "accuracy",
    "min_macro_f1": "macro_f1",
    "max_log_loss": "log_loss",
    "max_ece": "ece",
}


class Rights:
    """Which samples of a slice two models answer right.

    :param now: the candidate's, ``bool [N]``; ``before`` the champion's.
    """

    def __init__(self, now: "NDArray[np.bool_]", before: "NDArray[np.bool_]") -> None:
        self.gained = int((now & ~before).sum())
        self.lost = int((before & ~now).sum())
        self.count = len(now)

    @property
    def points_lost(self) -> float:
        """Percentage points of accuracy."""
        return round(100 * (self.lost - self.gained) / self.count, 4)

    @property
    def interval(self) -> Interval:
        """Of the points lost, at 95 %."""
        low, high = paired_difference(self.gained, self.lost, self.count)
        return round(-100 * high, 4), round(-100 * low, 4)


def judge(declared: "Slice", now: Measurement, before: Measurement | None, rights: Rights | None) -> SliceFigures:
    """Return a slice's figures and which thresholds they miss.

    :param rights: ``None`` without a champion, or without a sample.
    """
    misses, unjudged = _absolute(declared, now)
    if now.count < declared.min_count:
        misses.append(f"{now.slice}: {now.count} samples, at least {declared.min_count} are asked for")
    if (most := declared.max_points_lost) is not None:
        if rights is None:
            unjudged.append(f"{now.slice}: max_points_lost {most:g} needs a champion and a sample")
        elif rights.points_lost > most:
            low, high = rights.interval
            misses.append(
                f"{now.slice}: {rights.points_lost:.2f} points of accuracy lost against the champion "
                f"(95 % interval {low:.2f} to {high:.2f}, {now.count} samples), max_points_lost is {most:g}"
            )
    return SliceFigures(
        measured=now,
        before=before,
        points_lost=rights.points_lost if rights else None,
        points_interval=rights.interval if rights else None,
        misses=misses,
        unjudged=unjudged,
        verdict=_verdict(declared, now, misses),
    )


def _absolute(declared: "Slice", now: Measurement) -> tuple[list[str], list[str]]:
    misses, unjudged = [], []
    for threshold, name in THRESHOLDS.items():
        bound = getattr(declared, threshold)
        if bound is None:
            continue
        if name not in now.figures:
            unjudged.append(f"{now.slice}: {threshold} {bound:g} needs a sample")
            continue
        value, (low, high) = now.figures[name], now.intervals[name]
        if value < bound if threshold.startswith("min_") else value > bound:
            misses.append(
                f"{now.slice}: {name} {value:.4f} (95 % interval {low:.4f} to {high:.4f}, {now.count} samples), "
                f"{threshold} is {bound:g}"
            )
    return misses, unjudged


def _verdict(declared: "Slice", now: Measurement, misses: list[str]) -> Verdict:
    if misses:
        return "missed" if declared.severity == "error" else "warned"
    if not now.count:
        return "empty"
    asked = [*THRESHOLDS, "max_points_lost"]
    return "passed" if declared.min_count or any(getattr(declared, name) is not None for name in asked) else "measured"


def require_thresholds(evaluation: Evaluation) -> None:
    """Refuse a model that misses a threshold of severity error.

    :raises UserError: names slice, figure, interval and threshold.
    """
    missed = [miss for each in evaluation.slices if each.verdict == "missed" for miss in each.misses]
    if missed:
        raise UserError(
            f"The model misses what is asked of it: {'; '.join(missed)}.",
            hint="Look at the report, train a better model, or change the slice's threshold.",
        )
