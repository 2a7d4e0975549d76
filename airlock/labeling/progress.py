"""How far labelers are, by our own count: the server's ``is_labeled`` is wrong after an answer was deleted."""

from collections.abc import Collection

import msgspec

from airlock.labeling.studio import Task
from airlock.labeling.tasks import SAMPLE_ID


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a labelling project.

    :param asked: samples handed off.
    :param complete: samples that enough different people answered.
    :param answers: answers that count towards it.
    :param skipped: answers that say nothing.
    :param deleted: samples whose task is gone.
    :param annotators: e-mail address, or number, to samples answered.
    """

    asked: int
    complete: int
    answers: int
    skipped: int
    deleted: int
    annotators: dict[str, int]

    def enough(self, share: float) -> bool:
        """Whether a share of the samples is complete."""
        return self.complete >= share * self.asked

    def __str__(self) -> str:
        people = ", ".join(f"{name}: {count}" for name, count in sorted(self.annotators.items()))
        gone = f", {self.deleted} deleted" if self.deleted else ""
        done = f"{self.complete} of {self.asked} samples complete, {self.skipped} skipped{gone}"
        return f"{done} ({people or 'nobody yet'})"


def count(tasks: list[Task], wanted: Collection[str], overlap: int, people: dict[int, str], only: str = "") -> Progress:
    """Count different annotators of each sample who did not skip it.

    :param tasks: a snapshot.
    :param wanted: ids of the samples handed off.
    :param only: e-mail address of who alone is asked.
    """
    samples: dict[str, set[str]] = {}
    skipped = 0
    for task in (task for task in tasks if task.get("data", {}).get(SAMPLE_ID) in wanted):
        by = samples.setdefault(task["data"][SAMPLE_ID], set())
        for annotation in task.get("annotations") or []:
            author = people.get(annotation.get("completed_by"), str(annotation.get("completed_by")))
            skipped += bool(annotation.get("was_cancelled"))
            if not annotation.get("was_cancelled") and only in ("", author):
                by.add(author)
    return Progress(
        asked=len(wanted),
        complete=sum(len(by) >= overlap for by in samples.values()),
        answers=sum(min(len(by), overlap) for by in samples.values()),
        skipped=skipped,
        deleted=len(wanted) - len(samples),
        annotators=_by_annotator(samples.values()),
    )


def _by_annotator(groups: Collection[set[str]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in (name for group in groups for name in group):
        counts[name] = counts.get(name, 0) + 1
    return counts
