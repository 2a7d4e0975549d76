"""Figures of a classifier and their 95 % intervals: all are sums over samples, so that one bootstrap gives them all."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from airlock.governance.evaluations import ClassFigures, Interval
from airlock.governance.statistics import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

NAMES = ("accuracy", "macro_f1", "log_loss", "brier", "ece")
RESAMPLES = 1000
BATCH = 50
BINS = 15
LEAST = 1e-7  # log loss of a class that was given no probability at all stays finite, as Keras has it


class Figures(NamedTuple):
    """What was measured on some samples.

    :param values: accuracy, macro_f1, log_loss, brier, ece.
    :param intervals: of the same, at 95 %.
    :param f1_intervals: of each class's f1.
    """

    values: dict[str, float]
    intervals: dict[str, Interval]
    f1_intervals: list[Interval]


def measure(probabilities: "NDArray[np.float32]", truth: "NDArray[np.int64]") -> Figures:
    """Measure answers; the same answers have the same intervals.

    Accuracy's interval is Wilson's, the others are percentile intervals over 1,000 resamples of the samples: Efron, B.
    (1979): Bootstrap methods: another look at the jackknife. Annals of Statistics 7, 1-26. The expected calibration
    error is biased upwards on few samples, and so is its interval.

    :param probabilities: ``[N, classes]``, N at least 1.
    :param truth: ``[N]``.
    """
    count, classes = probabilities.shape
    terms = _terms(probabilities, truth)
    drawn, drawn_f1 = _resampled(terms, classes, count)
    low, high = np.quantile(drawn, (0.025, 0.975), axis=1)
    low_f1, high_f1 = np.quantile(drawn_f1, (0.025, 0.975), axis=1)
    intervals = dict(zip(NAMES, map(_interval, low, high), strict=True))
    hits = int((probabilities.argmax(axis=1) == truth).sum())
    return Figures(
        values=_values(terms, classes, count),
        intervals=intervals | {"accuracy": wilson(hits, count) or (0.0, 1.0)},
        f1_intervals=list(map(_interval, low_f1, high_f1)),
    )


def point_figures(probabilities: "NDArray[np.float32]", truth: "NDArray[np.int64]") -> dict[str, float]:
    """Return the values of :func:`measure` alone."""
    count, classes = probabilities.shape
    return _values(_terms(probabilities, truth), classes, count)


def _values(terms: "csr_array", classes: int, count: int) -> dict[str, float]:
    values, _ = _figures(terms.T @ np.ones((count, 1)), classes, count)
    return {name: round(float(value), 6) for name, value in zip(NAMES, values[:, 0], strict=True)}


def _terms(probabilities: "NDArray[np.float32]", truth: "NDArray[np.int64]") -> "csr_array":
    """Return ``[N, terms]``: each sample's log loss and Brier score, then one-hot its class, its answer and its hit,
    then by how much its answer was underestimated in the bin of its confidence."""
    from scipy.sparse import csr_array

    count, classes = probabilities.shape
    rows, answers = np.arange(count), probabilities.argmax(axis=1)
    confidence, right = probabilities[rows, answers].astype(np.float64), answers == truth
    hot = 2 + 3 * classes + bins(confidence)
    columns = [np.zeros(count), np.ones(count), 2 + truth, 2 + classes + answers, 2 + 2 * classes + truth, hot]
    values = [log_losses(probabilities, truth), briers(probabilities, truth), *np.ones((2, count)), right]
    stacked = np.stack([*values, right - confidence], axis=1)
    shape = (count, 2 + 3 * classes + BINS)
    return csr_array((stacked.ravel(), np.stack(columns, axis=1).ravel(), 6 * np.arange(count + 1)), shape=shape)


def _resampled(terms: "csr_array", classes: int, count: int) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return the figures ``[5, resamples]`` and the classes' f1 ``[classes, resamples]``."""
    random, found = np.random.default_rng(0), []
    for _ in range(RESAMPLES // BATCH):
        drawn = [np.bincount(random.integers(count, size=count), minlength=count) for _ in range(BATCH)]
        found.append(_figures(terms.T @ np.stack(drawn, axis=1).astype(np.float64), classes, count))
    figures, f1 = zip(*found, strict=True)
    return np.concatenate(figures, axis=1), np.concatenate(f1, axis=1)


def _figures(
    sums: "NDArray[np.float64]", classes: int, count: int
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    truth, answered, hits = (sums[2 + part * classes :][:classes] for part in range(3))
    seen = truth + answered
    f1 = np.divide(2 * hits, seen, out=np.zeros_like(hits), where=seen > 0)
    error = np.abs(sums[2 + 3 * classes :]).sum(axis=0) / count
    macro = f1.sum(axis=0) / (seen > 0).sum(axis=0)  # of the classes that occur, as scikit-learn has it
    return np.stack([hits.sum(axis=0) / count, macro, *(sums[:2] / count), error]), f1


def log_losses(probabilities: "NDArray[np.float32]", truth: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """Return each sample's log loss, in nats."""
    losses: NDArray[np.float64] = -np.log(
        probabilities[np.arange(len(truth)), truth].astype(np.float64).clip(LEAST, 1.0)
    )
    return losses


def briers(probabilities: "NDArray[np.float32]", truth: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """Return each sample's Brier score, from 0 to 2: the sum over all classes of the squared difference.

    Brier, G. W. (1950): Verification of forecasts expressed in terms of probability. Monthly Weather Review 78, 1-3.
    """
    wanted = np.eye(probabilities.shape[1])[truth]
    scores: NDArray[np.float64] = np.square(probabilities - wanted).sum(axis=1)
    return scores


def bins(confidence: "NDArray[np.float64]") -> "NDArray[np.int64]":
    """Return the place of each confidence among 15 bins of the same width, each open at its lower end."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def confusion_matrix(truth: "NDArray[np.int64]", answers: "NDArray[np.int64]", classes: int) -> "NDArray[np.int64]":
    """Return counts ``[true class, answered class]``."""
    return np.bincount(truth * classes + answers, minlength=classes**2).reshape(classes, classes)


def class_figures(confusion: "NDArray[np.int64]", f1: list[Interval] | None = None) -> list[ClassFigures]:
    """Return the figures of each class of a confusion matrix; ``f1`` are the intervals of the f1 of each class."""
    hits, support, answered = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    found = [_class(*map(int, counts)) for counts in zip(hits, support, answered, strict=True)]
    if f1 is None:
        return found
    from msgspec.structs import replace

    return [replace(each, f1_interval=interval) for each, interval in zip(found, f1, strict=True)]


def accuracy(probabilities: "NDArray[np.float32]", truth: "NDArray[np.int64]") -> float:
    """Return the share of samples whose most probable class is the true one."""
    return float((probabilities.argmax(axis=1) == truth).mean())


def _class(hits: int, support: int, answered: int) -> ClassFigures:
    return ClassFigures(
        precision=hits / answered if answered else 0.0,
        recall=hits / support if support else 0.0,
        f1=2 * hits / (support + answered) if support + answered else 0.0,
        support=support,
        precision_interval=wilson(hits, answered),
        recall_interval=wilson(hits, support),
    )


def _interval(low: float, high: float) -> Interval:
    return round(float(low), 6), round(float(high), 6)
