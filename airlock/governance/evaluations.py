"""What the evaluate and compress steps say about a model, as documents: read without numpy wherever a person judges."""

from typing import Any, Literal

import msgspec

from airlock.references import DatasetVersion

Interval = tuple[float, float]
WHOLE_SPLIT = "whole split"
"""Name of the slice that every model is measured on."""
Verdict = Literal["passed", "missed", "warned", "empty", "measured"]


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
    f1_interval: Interval | None = None


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


class Bin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Samples whose answer's probability lies in ``(low, high]``.

    :param confidence: mean of those probabilities.
    :param accuracy: share of those answers that are right; a calibrated model has the same in both.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a model's probabilities can be taken at their word.

    :param bins: the reliability diagram, bins without samples left out.
    :param temperature: by which logits would have to be divided, found on the validation split; ``None`` without one.
    :param tempered: log loss, Brier score and expected calibration error of the measured split with that temperature.
    """

    bins: list[Bin]
    temperature: float | None = None
    tempered: dict[str, float] = {}


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model on one slice of one split of one dataset version: what is measured once and kept by that key.

    :param model: digest of the model.
    :param dataset: ``None`` for tensors that do not say what they were made from.
    :param slice: its name; ``rule`` says which samples it has.
    :param figures: accuracy, macro_f1, log_loss, brier, ece; none of an empty slice. ``intervals`` at 95 %.
    :param time: when it was measured, seconds since the epoch.
    """

    model: str
    dataset: DatasetVersion | None
    split: str
    slice: str
    rule: str
    count: int
    figures: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    time: float = 0.0


class SliceFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A slice, and what its thresholds say.

    :param measured: the candidate on it; ``before`` the champion on the same samples.
    :param points_lost: percentage points of accuracy against the champion; ``points_interval`` at 95 %.
    :param misses: thresholds that were missed, in sentences; ``unjudged`` those that could not be looked at.
    :param verdict: ``missed`` for a missed threshold of severity error, ``warned`` of severity warning, ``measured``
        when there is no threshold.
    """

    measured: Measurement
    before: Measurement | None = None
    points_lost: float | None = None
    points_interval: Interval | None = None
    misses: list[str] = []
    unjudged: list[str] = []
    verdict: Verdict = "measured"


class Champion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The champion on the same samples as the candidate.

    :param manifest: digest of its candidate manifest; ``model`` of its model.
    :param predictions: among the candidate's classes.
    """

    manifest: str
    model: str
    measured: Measurement
    predictions: Predictions | None = None


class Footprint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model costs, on the machine that measured it.

    :param bytes: of the ``.keras`` file; ``weight_bytes`` of the parameters alone.
    :param flops: floating-point operations for one sample, a multiplication and an addition counting as two; ``None``
        where the backend cannot count them. ``counted_by`` says who counted.
    :param peak_bytes: largest resident memory of the process while it answered batches of 64, framework included.
    :param times_ms: milliseconds per sample: ``p50_1`` and ``p99_1`` in batches of 1, ``p50_64`` and ``p99_64`` of 64.
    :param machine: processor, number of cores and Keras backend.
    """

    parameters: int
    trainable: int
    bytes: int
    weight_bytes: int
    flops: int | None
    counted_by: str
    peak_bytes: int
    times_ms: dict[str, float]
    machine: str


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model on one split.

    :param model: digest of the model; likewise ``tensors``.
    :param confusion: one row per true class, one column per answered class, in the order of ``per_class``.
    :param intervals: 95 % intervals of ``accuracy``, ``macro_f1`` and the ``figures``.
    :param errors: PNG in base64 of the samples answered wrong, by this model or by the champion, by sample id, the most
        confident error first; ``texts`` holds the beginning of a sample that is a text.
    :param figures: log_loss, brier and ece; evaluations from before they were measured have none.
    :param champion: ``None`` when nothing serves, or when it could not be asked: ``notes`` says why.
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
    texts: dict[str, str] = {}
    dataset: DatasetVersion | None = None
    figures: dict[str, float] = {}
    calibration: Calibration | None = None
    slices: list[SliceFigures] = []
    champion: Champion | None = None
    footprint: Footprint | None = None
    notes: list[str] = []

    @property
    def all_figures(self) -> dict[str, float]:
        """Accuracy, macro F1 and what else is known."""
        return {"accuracy": self.accuracy, "macro_f1": self.macro_f1} | self.figures

    @property
    def macro_f1(self) -> float:
        """Mean of the f1 of the classes that occur or were answered, each class counting the same."""
        found = [each.f1 for each in self.per_class.values() if each.support or each.precision_interval]
        return sum(found) / len(found) if found else 0.0


class Measured(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file on one thread of its runtime; files from before there was more to measure have no more.

    :param accuracy: on the test samples.
    :param p50_ms: median time of a single sample in milliseconds; ``p99_ms`` likewise.
    :param gzip_bytes: of the file, packed.
    :param peak_bytes: largest resident memory of a process that loads it and answers single samples, nothing else in it
        but Python, numpy and the runtime.
    """

    bytes: int
    accuracy: float
    p50_ms: float
    p99_ms: float
    gzip_bytes: int | None = None
    peak_bytes: int | None = None


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """A compressed model on one slice of one split, beside the original on the same samples.

    :param interval: of ``accuracy``, at 95 %; ``points_interval`` of ``points_lost``, from the samples that flipped.
    :param points_lost: percentage points of accuracy; negative when it gained.
    """

    slice: str
    rule: str
    count: int
    accuracy: float
    interval: Interval
    points_lost: float
    points_interval: Interval


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One way to compress and what came of it.

    :param method: the chain, in words.
    :param engine: runtime of its file.
    :param measured: ``None`` where there is no file.
    :param test: the whole split first, then the slices that have samples; ``validation`` likewise.
    :param misses: what the rule holds against it, in sentences.
    :param failed: why there is no file.
    :param frontier: whether no other one is both smaller and more accurate on the test samples.
    """

    method: str
    engine: str = ""
    measured: Measured | None = None
    test: list[Lost] = []
    validation: list[Lost] = []
    misses: list[str] = []
    failed: str = ""
    frontier: bool = False
    picked: bool = False

    @property
    def slices(self) -> list[tuple[Lost, Lost | None]]:
        """The slices of the test samples, each with the one of the same name of the validation samples."""
        known = {each.slice: each for each in self.validation}
        return [(each, known.get(each.slice)) for each in self.test[1:]]


class Frontier(msgspec.Struct, frozen=True, kw_only=True):
    """Every way that was tried.

    :param rule: what picked, in words.
    :param rows: the original first.
    """

    rule: str
    rows: list[Row]


class Compression(msgspec.Struct, frozen=True, kw_only=True):
    """The compressed model that was picked against the original, on the same test samples.

    :param points_lost: percentage points of accuracy; negative when it gained.
    :param ratio: the compressed model's bytes as a share of the original's.
    :param intervals: 95 % intervals of the accuracy of ``original`` and ``compressed``.
    :param predictions: the compressed model's answers; ``original_predictions`` the original's.
    :param errors: like an evaluation's, of the samples that either of the two answers wrong.
    :param frontier: what it was picked from; ``None`` of a model from when there was nothing to pick from.
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
    frontier: Frontier | None = None
