"""What the evaluate and compress steps say about a model, as documents: read without numpy wherever a person judges."""

from typing import Any

import msgspec

Interval = tuple[float, float]


class ClassFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One class. The intervals are at 95 %; evaluations from before there were any have none.

    :param precision: share of the samples answered with this class that are of it; 0 when none was.
    :param recall: share of its samples that were answered with it.
    :param f1: harmonic mean of the two.
    :param support: number of its samples.
    """

    precision: float
    recall: float
    f1: float
    support: int
    precision_interval: Interval | None = None
    recall_interval: Interval | None = None


class AgreementFigures(msgspec.Struct, frozen=True, kw_only=True):
    """:param alpha: Krippendorff's; ``None`` where it is not defined."""

    alpha: float | None = None


class LabelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a person judges of a labelling's figures; the document holds more.

    :param asked: samples in the batch; ``answers`` about them, one of ``annotators`` each.
    :param labelled: samples that have a label now, ``settled`` of them by an adjudicator.
    """

    asked: int
    answers: int
    labelled: int
    settled: int
    annotators: list[dict[str, Any]]
    agreement: AgreementFigures
    disputed: list[str]


class Predictions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model answered to every sample of a split, one column each, in the same order.

    :param truth: place of the sample's class among the classes; likewise ``answer``, the class answered.
    :param probability: what the model gave its answer.
    """

    samples: list[str]
    truth: list[int]
    answer: list[int]
    probability: list[float]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model on one split.

    :param model: digest of the model; likewise ``tensors``.
    :param confusion: one row per true class, one column per answered class, in the order of ``per_class``.
    :param intervals: 95 % intervals of ``accuracy`` and ``macro_f1``.
    :param errors: PNG in base64 of the samples answered wrong, by sample id, the most confident error first.
    """

    model: str
    tensors: str
    split: str
    count: int
    accuracy: float
    per_class: dict[str, ClassFigures]
    confusion: list[list[int]]
    intervals: dict[str, Interval] = {}
    predictions: Predictions | None = None
    errors: dict[str, str] = {}

    @property
    def macro_f1(self) -> float:
        """Mean of the classes' f1, each class counting the same."""
        return sum(figures.f1 for figures in self.per_class.values()) / len(self.per_class)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One file on one thread.

    :param p50_ms: median time of a single sample in milliseconds; ``p99_ms`` likewise.
    """

    bytes: int
    accuracy: float
    p50_ms: float
    p99_ms: float


class Compression(msgspec.Struct, frozen=True, kw_only=True):
    """A compressed model against the original, on the same samples.

    :param points_lost: percentage points of accuracy; negative when it gained.
    :param ratio: the compressed model's bytes as a share of the original's.
    :param intervals: 95 % intervals of the accuracy of ``original`` and ``compressed``.
    :param predictions: the compressed model's answers; ``original_predictions`` the original's.
    :param errors: like an evaluation's, of the samples that either of the two answers wrong.
    """

    method: str
    original: Measured
    compressed: Measured
    points_lost: float
    ratio: float
    intervals: dict[str, Interval] = {}
    predictions: Predictions | None = None
    original_predictions: Predictions | None = None
    errors: dict[str, str] = {}
