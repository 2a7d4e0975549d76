"""How good a model is on samples it never saw: figures per class, and which classes it confuses."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ClassFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One class.

    :param precision: share of the samples answered with this class that are of it; 0 when none was.
    :param recall: share of its samples that were answered with it.
    :param f1: harmonic mean of the two.
    :param support: number of its samples.
    """

    precision: float
    recall: float
    f1: float
    support: int


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model on one split.

    :param model: digest of the model; likewise ``tensors``.
    :param confusion: one row per true class, one column per answered class, in the order of ``per_class``.
    """

    model: str
    tensors: str
    split: str
    count: int
    accuracy: float
    per_class: dict[str, ClassFigures]
    confusion: list[list[int]]

    @property
    def macro_f1(self) -> float:
        """Mean of the classes' f1, each class counting the same."""
        return sum(figures.f1 for figures in self.per_class.values()) / len(self.per_class)


def confusion_matrix(truth: "NDArray[np.int64]", answers: "NDArray[np.int64]", classes: int) -> "NDArray[np.int64]":
    """Return counts ``[true class, answered class]``."""
    return np.bincount(truth * classes + answers, minlength=classes**2).reshape(classes, classes)


def class_figures(confusion: "NDArray[np.int64]") -> list[ClassFigures]:
    """Return the figures of each class of a confusion matrix."""
    hits, support, answered = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    return [_figures(*map(int, counts)) for counts in zip(hits, support, answered, strict=True)]


def accuracy(probabilities: "NDArray[np.float32]", truth: "NDArray[np.int64]") -> float:
    """Return the share of samples whose most probable class is the true one."""
    return float((probabilities.argmax(axis=1) == truth).mean())


def _figures(hits: int, support: int, answered: int) -> ClassFigures:
    precision = hits / answered if answered else 0.0
    recall = hits / support if support else 0.0
    f1 = 2 * hits / (support + answered) if support + answered else 0.0
    return ClassFigures(precision=precision, recall=recall, f1=f1, support=support)
