"""Confidence intervals as small drawings: two figures on one scale, so that overlap is seen at a glance."""

from collections.abc import Iterable

import msgspec

from airlock.governance.comparison import Metric

WIDTH = 160.0
MARGIN = 4.0  # for the dots at either end
PADDING = 0.08  # of the scale, on either side


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """What the left and the right end of a drawing stand for."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Return where a value stands."""
        return round(MARGIN + (value - self.low) / (self.high - self.low) * (WIDTH - 2 * MARGIN), 2)


def scale(metrics: Iterable[Metric]) -> Scale | None:
    """Return a scale that holds every interval and its figure; ``None`` without an interval."""
    shown = [metric for metric in metrics if metric.interval or metric.before_interval]
    values = [value for metric in shown for value in _values(metric)]
    if not values:
        return None
    low, high = min(values), max(values)
    pad = (high - low) * PADDING or 0.01
    # Only shares have intervals: nothing lies beyond 0 and 1.
    return Scale(low=max(0.0, low - pad), high=min(1.0, high + pad) if high <= 1 else high + pad)


def _values(metric: Metric) -> list[float]:
    figures = [figure for figure in (metric.now, metric.before) if figure is not None]
    return [*figures, *(metric.interval or ()), *(metric.before_interval or ())]
