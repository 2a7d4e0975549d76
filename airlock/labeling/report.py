"""What came of a hand-off, as figures and as a page for whoever accepts the labels."""

from collections import Counter
from collections.abc import Mapping
from importlib import resources
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from airlock.labeling.agreement import Agreement, agreement
from airlock.labeling.tasks import Chosen, encode_chosen
from airlock.stores.labels import Answer, Resolution, Rule

if TYPE_CHECKING:
    from airlock.labeling.handoff import HandOff

SHOWN = 200


class Annotator(msgspec.Struct, frozen=True, kw_only=True):
    """What one person did.

    :param agrees: share of their answers that are the resolved label.
    :param seconds: median time for an answer.
    """

    name: str
    answers: int
    agrees: float | None
    seconds: float | None


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """A sample about which people said different things.

    :param label: what it was resolved to, ``None`` when it is disputed.
    :param settled: whether an adjudicator settled it.
    """

    sample_id: str
    said: dict[str, str]
    label: str | None
    settled: bool


class LabelReport(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a hand-off.

    :param asked: samples in the batch.
    :param answers: of labelers, about the batch.
    :param labelled: samples of the batch that have a label now.
    :param settled: by an adjudicator.
    :param new: answers that this pull added.
    :param incidents: what was no usable answer, by kind.
    """

    asked: int
    answers: int
    labelled: int
    settled: int
    classes: dict[str, int]
    annotators: list[Annotator]
    agreement: Agreement
    disagreements: list[Disagreement]
    disputed: list[str]
    new: int = 0
    incidents: dict[str, int] = {}

    @property
    def counts(self) -> dict[str, int]:
        """Figures for the task's outputs."""
        figures = ("asked", "answers", "new", "labelled", "settled")
        return {name: getattr(self, name) for name in figures} | {"disputed": len(self.disputed)} | self.incidents

    def for_adjudication(self) -> bytes:
        """The disputed samples as a batch, each with what was said about it."""
        said = {item.sample_id: item.said for item in self.disagreements}
        return encode_chosen(
            Chosen(sample_id=sample_id, why=_sentence(said.get(sample_id, {}))) for sample_id in self.disputed
        )


def summarise(
    batch: tuple[str, ...], latest: list[Answer], resolution: Resolution, labels: Mapping[str, str]
) -> LabelReport:
    """Compute the figures of a batch.

    :param latest: what everybody said last about the dataset version's samples.
    :param labels: resolved label by sample id.
    """
    wanted = set(batch)
    given = [item for item in latest if item.kind == "label" and item.sample_id in wanted]
    settled = {item.sample_id for item in latest if item.kind == "adjudication"} & wanted
    said: dict[str, dict[str, str]] = {}
    for item in given:
        said.setdefault(item.sample_id, {})[item.annotator] = item.label
    return LabelReport(
        asked=len(batch),
        answers=len(given),
        labelled=sum(sample_id in labels for sample_id in batch),
        settled=len(settled),
        classes=dict(sorted(Counter(labels[name] for name in batch if name in labels).items())),
        annotators=_annotators(given, labels),
        agreement=agreement(given),
        disagreements=[
            Disagreement(sample_id=name, said=by, label=labels.get(name), settled=name in settled)
            for name, by in sorted(said.items())
            if len(set(by.values())) > 1 or name not in labels
        ],
        disputed=[name for name in resolution.disputed if name in wanted],
    )


def _annotators(given: list[Answer], labels: Mapping[str, str]) -> list[Annotator]:
    by: dict[str, list[Answer]] = {}
    for item in given:
        by.setdefault(item.annotator, []).append(item)
    found = []
    for name, answers in sorted(by.items()):
        judged = [item.label == labels[item.sample_id] for item in answers if item.sample_id in labels]
        times = [item.lead_time for item in answers if item.lead_time is not None]
        found.append(
            Annotator(
                name=name,
                answers=len(answers),
                agrees=sum(judged) / len(judged) if judged else None,
                seconds=median(times) if times else None,
            )
        )
    return found


def _sentence(said: Mapping[str, str]) -> str:
    return "; ".join(f"{name} said {label}" for name, label in sorted(said.items())) or "too few answers"


def render(report: LabelReport, handoff: "HandOff", rule: Rule) -> bytes:
    """Return the page."""
    from jinja2 import Environment

    template = resources.files("airlock.labeling").joinpath("report.html").read_text("utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    largest = max(report.classes.values(), default=1)
    return page.render(report=report, handoff=handoff, rule=rule, largest=largest, shown=SHOWN).encode()
