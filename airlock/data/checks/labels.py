"""Class balance, and whether annotators agree."""

from collections import Counter

from airlock.data.checks.declaration import ClassBalance, LabelConsensus
from airlock.data.checks.finding import Finding, percent
from airlock.data.checks.subject import Subject
from airlock.data.validation.verdict import Plot
from airlock.errors import UserError


def class_balance(check: ClassBalance, subject: Subject) -> Finding:
    """Compare how often the classes occur; samples without a label do not count."""
    counts = Counter(label for label in subject.labels.values() if label is not None)
    classes = sorted({*counts, *check.classes})
    found = {name: counts[name] for name in classes}
    total, most = counts.total() or 1, max(found.values(), default=0)
    rare = [name for name in classes if _too_rare(found[name], total, most, check)]
    unknown = sorted(set(counts) - set(check.classes)) if check.classes else []
    ratio = most / max(min(found.values(), default=0), 1)
    shown = ", ".join(f"{name} {found[name]}" for name in rare or classes)
    return Finding(
        success=bool(classes) and not rare and not unknown,
        rule=f"Every class has at least {_least(check)}",
        observed=(shown or "no sample has a label") + (f"; no class: {', '.join(unknown)}" if unknown else ""),
        figure=ratio,
        sample_ids=tuple(sorted(name for name, label in subject.labels.items() if label in unknown)),
        plots=(_plot(found, total),),
    )


def label_consensus(check: LabelConsensus, subject: Subject) -> Finding:
    """Count the samples about which all annotators say the same.

    :raises UserError: the answers are not known here.
    """
    if subject.answers is None:
        raise UserError("The check label_consensus needs the annotators' answers.", hint="Run it in `validate`.")
    counted = {name: said for name, said in subject.answers.items() if len(said) >= check.min_answers}
    split = sorted(name for name, said in counted.items() if len(set(said.values())) > 1)
    share = 1 - len(split) / len(counted) if counted else 0.0
    covered = len(counted) / subject.rows
    return Finding(
        success=share >= check.min_share and covered >= check.min_covered and bool(counted),
        rule=f"On at least {percent(check.min_share)} of the samples all annotators agree",
        observed=f"{len(counted) - len(split)} of {len(counted)} ({percent(share)}); {percent(covered)} of all samples "
        f"have {check.min_answers} answers or more",
        figure=share,
        sample_ids=tuple(split),
    )


def _too_rare(count: int, total: int, most: int, check: ClassBalance) -> bool:
    if count < check.min_count or count / total < check.min_share:
        return True
    return bool(check.max_ratio) and most / max(count, 1) > check.max_ratio


def _least(check: ClassBalance) -> str:
    rules = [f"{check.min_count} samples"]
    if check.min_share:
        rules.append(f"{percent(check.min_share)} of all")
    if check.max_ratio:
        rules.append(f"1/{check.max_ratio:g} of the most frequent")
    return ", ".join(rules)


def _plot(counts: dict[str, int], total: int) -> Plot:
    return Plot(title="Classes", names=tuple(counts), now=tuple(count / total for count in counts.values()))
