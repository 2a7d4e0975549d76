"""From a snapshot of a labelling project to answers: every one is checked, and what is none is said to be none."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from airlock.labeling.config import LabelConfig, Malformed, UnknownLabel
from airlock.labeling.studio import Task
from airlock.labeling.tasks import SAMPLE_ID
from airlock.stores.labels import Answer, Incident, Kind

NOBODY = "nobody"
CONFIDENCE = "confidence"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is read against.

    :param samples: ids of the batch.
    :param overlap: people asked about each.
    :param kind: of the answers.
    :param origin: how they are marked.
    :param only: e-mail address of who alone may answer; empty for everybody.
    """

    samples: tuple[str, ...]
    config: LabelConfig
    overlap: int
    kind: Kind
    origin: str
    only: str = ""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot says.

    :param answers: one for each annotator and sample, their last.
    :param incidents: everything else: nothing that is in a snapshot is dropped.
    :param references: annotations that were there.
    """

    answers: tuple[Answer, ...]
    incidents: tuple[Incident, ...]
    references: frozenset[str]


def read_snapshot(tasks: list[Task], people: Mapping[int, str], asked: Asked) -> Reading:
    """Check every annotation of a project.

    :param tasks: as :meth:`~airlock.labeling.studio.Studio.snapshot` returns them.
    :param people: e-mail address by number.
    """
    reader = _Reader(people, asked)
    for task in tasks:
        reader.read_task(task)
    return reader.finish()


class _Reader:
    def __init__(self, people: Mapping[int, str], asked: Asked) -> None:
        self.people = people
        self.asked = asked
        self.wanted = set(asked.samples)
        self.answers: dict[tuple[str, str], tuple[str, Answer]] = {}
        self.skipped: set[tuple[str, str]] = set()
        self.tasks: dict[str, int] = {}
        self.incidents: list[Incident] = []
        self.references: set[str] = set()

    def read_task(self, task: Task) -> None:
        sample_id = task.get("data", {}).get(SAMPLE_ID)
        if sample_id not in self.wanted:
            detail = f"task {task.get('id')} is about {str(sample_id)[:64]}, which is not in the batch"
            self.note("unknown_sample", detail, body=_without_content(task))
            return
        self.tasks[sample_id] = self.tasks.get(sample_id, 0) + 1
        for annotation in sorted(task.get("annotations") or [], key=_when):
            self.read_annotation(sample_id, annotation)

    def read_annotation(self, sample_id: str, annotation: dict[str, Any]) -> None:
        who = self.annotator(annotation.get("completed_by"))
        self.references.add(_reference(self.asked.origin, annotation))
        if annotation.get("was_cancelled"):
            self.skipped.add((sample_id, who))
            self.note("skipped", "the annotator skipped it", sample_id, who, annotation)
        elif who == NOBODY:
            self.note("malformed", "nobody is named as its author", sample_id, who, annotation)
        elif self.asked.only and who != self.asked.only:
            self.note("not_the_adjudicator", f"only {self.asked.only} settles disputes", sample_id, who, annotation)
        else:
            self.take(sample_id, who, annotation)

    def take(self, sample_id: str, who: str, annotation: dict[str, Any]) -> None:
        try:
            label = self.asked.config.label_of(annotation.get("result"))
        except UnknownLabel as error:
            return self.note("unknown_label", str(error), sample_id, who, annotation)
        except Malformed as error:
            return self.note("malformed", str(error), sample_id, who, annotation)
        before = self.answers.get((sample_id, who))
        if before is not None:
            detail = f"said {before[1].label!r} before, in annotation {before[0]}"
            self.note("repeated", detail, sample_id, who, annotation)
        self.answers[sample_id, who] = (str(annotation.get("id")), self.answer(sample_id, who, label, annotation))
        return None

    def answer(self, sample_id: str, who: str, label: str, annotation: dict[str, Any]) -> Answer:
        lead, sure = annotation.get("lead_time"), (annotation.get("meta") or {}).get(CONFIDENCE)
        return Answer(
            sample_id=sample_id,
            annotator=who,
            label=label,
            origin=self.asked.origin,
            kind=self.asked.kind,
            reference=_reference(self.asked.origin, annotation),
            answered=_seconds(annotation.get("updated_at") or annotation.get("created_at")),
            lead_time=float(lead) if isinstance(lead, int | float) else None,
            confidence=float(sure) if isinstance(sure, int | float) else None,
        )

    def finish(self) -> Reading:
        given: dict[str, int] = {}
        for sample_id, _ in self.answers:
            given[sample_id] = given.get(sample_id, 0) + 1
        for sample_id in self.asked.samples:
            self.check_amount(sample_id, given.get(sample_id, 0))
        answers = tuple(answer for _, answer in self.answers.values())
        return Reading(answers=answers, incidents=tuple(self.incidents), references=frozenset(self.references))

    def check_amount(self, sample_id: str, given: int) -> None:
        asked, tasks = self.asked.overlap, self.tasks.get(sample_id, 0)
        if not tasks:
            self.note("deleted", "its task is no longer in the project", sample_id)
        if tasks > 1:
            self.note("duplicated", f"it is in {tasks} tasks; the answers of all of them count", sample_id)
        if given > asked:
            self.note("more", f"{given} people answered, {asked} were asked", sample_id)
        if given < asked and tasks:
            self.note("fewer", f"{given} of {asked} people answered", sample_id)

    def annotator(self, author: Any) -> str:
        if isinstance(author, dict):
            return str(author.get("email") or self.people.get(author.get("id", 0)) or NOBODY).lower()
        return self.people.get(author, f"user {author}") if isinstance(author, int) else NOBODY

    def note(self, kind: str, detail: str, sample_id: str = "", who: str = "", body: Any = None) -> None:
        text = msgspec.json.encode(body).decode() if body is not None else ""
        self.incidents.append(
            Incident(
                kind=kind,
                sample_id=sample_id,
                annotator=who,
                detail=detail,
                origin=self.asked.origin,
                body=text.replace("\\u0000", ""),  # PostgreSQL takes none
            )
        )


def withdrawn(before: Iterator[Answer], reading: Reading, origin: str) -> list[Incident]:
    """Say which answers, pulled before, are no longer in the project. They stay: it is not the record, we are."""
    return [
        Incident(
            kind="withdrawn",
            sample_id=answer.sample_id,
            annotator=answer.annotator,
            detail=f"the answer {answer.label!r} was deleted in Label Studio; it is kept here",
            origin=origin,
            body=answer.reference,
        )
        for answer in before
        if answer.origin == origin and answer.reference and answer.reference not in reading.references
    ]


def _reference(origin: str, annotation: dict[str, Any]) -> str:
    return f"{origin}/annotations/{annotation.get('id')}"


def _when(annotation: dict[str, Any]) -> tuple[str, int]:
    return str(annotation.get("updated_at") or ""), int(annotation.get("id") or 0)


def _seconds(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None


def _without_content(task: Task) -> dict[str, Any]:
    data = {name: str(value)[:200] for name, value in task.get("data", {}).items()}
    return {"id": task.get("id"), "data": data, "annotations": task.get("annotations")}
