"""What a comparison says, in sentences."""

from collections import Counter

from airlock.digests import short
from airlock.governance.comparison import Change, ClassRow, DataChanges, Flip, Metric, Paired
from airlock.governance.evaluations import LabelFigures
from airlock.governance.evidence.markdown import code, figure, word
from airlock.governance.revisions import Revision

MOST = 3
MOST_CHANGES = 8
CHANCE = 0.05
URGENT = ("missed", "warned", "empty", "passed", "measured")


def ranged(value: float | None, interval: tuple[float, float] | None) -> str:
    """Return a figure with its interval."""
    return figure(value) + (f" ({figure(interval[0])}–{figure(interval[1])})" if interval else "")


def flips(paired: Paired | None, other: str = "the champion") -> str:
    """How many examples flipped, and whether that can be chance."""
    if paired is None:
        return ""
    low, high = (100 * bound for bound in paired.interval)
    if not paired.gained and not paired.lost:
        return f"On the {paired.samples:,} test samples that both answered, right and wrong are the same as {other}'s."
    verdict = "more than chance explains" if paired.p_value < CHANCE else "which chance explains"
    said = (
        f"On the {paired.samples:,} test samples that both answered, against {other}: "
        f"**{len(paired.gained):,} gained**, **{len(paired.lost):,} lost**, "
        f"{100 * paired.difference:+.2f} points of accuracy ({low:+.2f} to {high:+.2f}; McNemar's exact test "
        f"p = {paired.p_value:.2g}, {verdict})."
    )
    return f"{said} {lost(paired.lost)}".strip()


def lost(flips: list[Flip]) -> str:
    """The most confident of the new errors."""
    shown = ", ".join(f"{code(flip.truth)} as {code(flip.now)} ({flip.probability:.2f})" for flip in flips[:MOST])
    return f"Newly wrong, the most confident first: {shown}{_more(len(flips), MOST)}." if shown else ""


def weakest(rows: list[ClassRow]) -> str:
    """The classes with the lowest recall."""
    told = [f"{code(row.name)} (recall {_recall(row.recall)})" for row in rows[:MOST]]
    return f"Weakest classes: {', '.join(told)}." if told else ""


def _recall(recall: Metric) -> str:
    before = "" if recall.before is None else f", champion {figure(recall.before)}"
    return ranged(recall.now, recall.interval) + before


def data(changes: DataChanges) -> str:
    """What became of samples and labels since the champion."""
    if changes.before_dataset is None or changes.before_labels is None:
        return "The data is new."
    if changes.same:
        return "The data is the same as the champion's."
    told = [_samples(changes), _labels(changes), _classes("New", changes.classes_added)]
    return " ".join(filter(None, [*told, _classes("Missing", changes.classes_removed)]))


def revision(told: Revision) -> str:
    """How equal a revision is to what it revises."""
    verdict = f"New source: {' and '.join(map(word, told.revised))}. **{told.verdict.capitalize()}**"
    differing = sum(split.differing for split in told.splits)
    samples = sum(split.samples for split in told.splits)
    found = f"{verdict}: {differing:,} of {samples:,} samples are transformed otherwise"
    if (model := told.difference) is not None:
        found += (
            f"; probabilities differ by up to {figure(model.largest)} (allowed {figure(told.tolerances.outputs)}), "
            f"{model.flips:,} of {model.samples:,} validation answers flipped"
        )
    changed = f" Not as it was: {', '.join(map(code, told.changed[:MOST_CHANGES]))}." if told.changed else ""
    return f"{found}.{changed}"


def labelled(told: LabelFigures | None) -> str:
    """What people said about the batch they were asked about."""
    if told is None:
        return ""
    alpha = "not defined" if told.agreement.alpha is None else f"{told.agreement.alpha:.2f}"
    settled = f", {told.settled:,} of them settled by an adjudicator" if told.settled else ""
    return (
        f"{len(told.annotators)} people gave {told.answers:,} answers about {told.asked:,} samples: "
        f"{told.labelled:,} are labelled{settled}, {len(told.disputed):,} are disputed; "
        f"agreement (Krippendorff's alpha) {alpha}."
    )


def _samples(changes: DataChanges) -> str:
    if changes.before_dataset == changes.dataset:
        return "The samples are the champion's."
    if changes.added is None:
        return "The data changed since the champion; which samples is not known, its manifest has no index."
    return (
        f"Samples since the champion: {changes.added:,} added, {changes.removed or 0:,} removed, "
        f"{changes.changed or 0:,} changed."
    )


def _labels(changes: DataChanges) -> str:
    if changes.relabelled_count is None or not changes.relabelled_count:
        same = changes.before_labels == changes.labels
        return "" if same or changes.relabelled_count is None else "No sample of both has another label."
    pairs = Counter((each.before, each.now) for each in changes.relabelled).most_common()
    shown = ", ".join(f"{code(before)} → {code(now)} {count}×" for (before, now), count in pairs[:MOST])
    return f"**{changes.relabelled_count:,} relabelled**: {shown}{_more(len(pairs), MOST)}."


def _classes(title: str, names: list[str]) -> str:
    shown = ", ".join(code(name) for name in names[:MOST])
    return f"{title} classes: {shown}{_more(len(names), MOST)}." if names else ""


def changed(title: str, changes: list[Change], short_values: bool = False) -> str:
    """What is not as the champion's; nothing when all is.

    :param short_values: show digests by their first digits.
    """

    def value(text: str | None) -> str:
        return "–" if text is None else code(short(text) if short_values else text)

    told = [f"{word(each.name)} {value(each.before)} → {value(each.now)}" for each in changes[:MOST_CHANGES]]
    more = _more(len(changes), MOST_CHANGES)
    return f"{title} changed since the champion: {', '.join(told)}{more}." if told else ""


def _more(count: int, shown: int) -> str:
    return f" and {count - shown:,} more" if count > shown else ""
