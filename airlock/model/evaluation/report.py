"""The evaluation report: one HTML page with pictures that needs nothing but itself."""

import base64
from importlib import resources
from typing import NamedTuple

import msgspec

from airlock.governance.comparison import Paired
from airlock.governance.comparison.pairing import Answered, pair
from airlock.governance.evaluations import Bin, Evaluation, Interval

TITLES = {"macro_f1": "macro F1", "log_loss": "log loss", "brier": "Brier score", "ece": "calibration error (ECE)"}
VERDICTS = {
    "passed": ("ok", "✓ passed"),
    "missed": ("bad", "✗ missed"),
    "warned": ("warn", "! missed"),
    "empty": ("warn", "! empty"),
    "measured": ("", "measured"),
}
MOST_FLIPS = 60
SIDE = 240.0  # of the reliability diagram, in pixels


class Row(NamedTuple):
    """One figure beside the champion's."""

    title: str
    now: float | None
    interval: Interval | None
    before: float | None
    before_interval: Interval | None


class Bar(NamedTuple):
    """A bin of the reliability diagram, in pixels: its place, and how high accuracy and confidence reach."""

    x: float
    width: float
    accuracy: float
    confidence: float
    about: str


def render(evaluation: Evaluation, confusion: bytes, title: str) -> bytes:
    """Return the page.

    :param confusion: PNG of the confusion matrix.
    :param title: names the pipeline.
    """
    from jinja2 import Environment

    template = resources.files("airlock.model.evaluation").joinpath("report.html").read_text("utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    paired = flips(evaluation)
    return page.render(
        evaluation=evaluation,
        title=title,
        confusion=base64.b64encode(confusion).decode(),
        rows=rows(evaluation),
        bars=bars(evaluation.calibration.bins) if evaluation.calibration else [],
        side=SIDE,
        paired=paired,
        galleries=[("Right before, wrong now", paired.lost), ("Wrong before, right now", paired.gained)]
        if paired
        else [],
        most=MOST_FLIPS,
        verdicts=VERDICTS,
        titles=TITLES,
    ).encode()


def without_samples(evaluation: Evaluation) -> Evaluation:
    """Leave out what shows or names test samples, for places that everybody reads."""
    champion = evaluation.champion
    bare = msgspec.structs.replace(champion, predictions=None) if champion else None
    return msgspec.structs.replace(evaluation, predictions=None, errors={}, texts={}, champion=bare)


def flips(evaluation: Evaluation) -> Paired | None:
    """Return which samples flipped between the champion and this model; ``None`` without either's answers."""
    champion, classes = evaluation.champion, list(evaluation.per_class)
    if champion is None or champion.predictions is None or evaluation.predictions is None:
        return None
    now = Answered(evaluation.predictions, classes, evaluation.errors, evaluation.texts)
    return pair(now, Answered(champion.predictions, classes, {}, {}))


def rows(evaluation: Evaluation) -> list[Row]:
    """Return the figures of the whole split."""
    before = evaluation.champion.measured if evaluation.champion else None
    return [
        Row(
            TITLES.get(name, name),
            value,
            evaluation.intervals.get(name),
            before.figures.get(name) if before else None,
            before.intervals.get(name) if before else None,
        )
        for name, value in evaluation.all_figures.items()
    ]


def bars(bins: list[Bin]) -> list[Bar]:
    """Return the reliability diagram's bars."""
    return [
        Bar(
            x=round(SIDE * each.low, 1),
            width=round(SIDE * (each.high - each.low) - 1, 1),
            accuracy=round(SIDE * each.accuracy, 1),
            confidence=round(SIDE * each.confidence, 1),
            about=f"{each.count} samples: confidence {each.confidence:.3f}, accuracy {each.accuracy:.3f}",
        )
        for each in bins
    ]
