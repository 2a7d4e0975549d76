"""Rules that stop losing trials, besides the pruner: ``top: 5 by loss at 100``, ``val_accuracy above 0.3 at 2``.

A rule never waits for other trials. Like ASHA (Li et al. 2020), it compares a trial with those that have come as far
by now: one of the first is let on, and stopped at a later epoch when enough others have overtaken it. So at no time do
more trials go on beyond the epoch than the rule keeps, once each of them has ended the epoch that it is in.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

METRICS = {"loss": "minimize", "accuracy": "maximize", "val_loss": "minimize", "val_accuracy": "maximize"}
"""What every training measures after an epoch, and which way is better."""

TOP = re.compile(r"top:? (?P<top>\d+) by (?P<by>\w+) at (?P<at>\d+)")
THRESHOLD = re.compile(r"(?P<by>\w+) (?P<side>above|below) (?P<bound>[-+.\deE]+) at (?P<at>\d+)")
FORM = "'top: 5 by loss at 100', 'val_accuracy above 0.3 at 2', or the same as a mapping"


class Standing(msgspec.Struct, frozen=True):
    """A trial's number and its value at a rule's epoch."""

    number: int
    value: float


class Top(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Only the best go on beyond an epoch."""

    top: int
    by: str
    at: int

    def __str__(self) -> str:
        return f"top: {self.top} by {self.by} at {self.at}"

    def objection(self, mine: Standing, others: Sequence[Standing]) -> str:
        """Say why a trial must stop; empty when it may go on. Of equals, the lower number goes first."""
        sign = 1 if METRICS[self.by] == "minimize" else -1
        ahead = sum((sign * other.value, other.number) < (sign * mine.value, mine.number) for other in others)
        if ahead < self.top:
            return ""
        return f"keep {self}: its {self.by} {mine.value:.4g} was rank {ahead + 1} of {len(others) + 1}"


class Threshold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Only what is good enough at an epoch goes on; exactly one of the bounds is set."""

    by: str
    at: int
    above: float | None = None
    below: float | None = None

    def __str__(self) -> str:
        return (
            f"{self.by} {f'above {self.above:g}' if self.above is not None else f'below {self.below:g}'} at {self.at}"
        )

    def objection(self, mine: Standing, _others: Sequence[Standing]) -> str:
        """Say why a trial must stop; empty when it may go on."""
        if self.above is not None and mine.value > self.above:
            return ""
        if self.below is not None and mine.value < self.below:
            return ""
        return f"keep {self}: its {self.by} was {mine.value:.4g}"


Rule = Top | Threshold


def read_rules(document: Any, epochs: int, trials: int, problems: list[str]) -> tuple[Rule, ...]:
    """Read ``keep``; what is wrong is added to the problems.

    :param epochs: most epochs of a trial.
    :param trials: the search's budget.
    """
    if isinstance(document, str | Mapping):
        document = [document]
    if not isinstance(document, Sequence):
        problems.append(f"keep must be a list of rules: {FORM}")
        return ()
    rules = []
    for value in document:
        rule = _rule(value, problems)
        if rule is not None:
            problems += [f"keep {rule}: {problem}" for problem in _contradictions(rule, epochs, trials)]
            rules.append(rule)
    return tuple(rules)


def _rule(value: Any, problems: list[str]) -> Rule | None:
    fields = _fields_of_text(value) if isinstance(value, str) else value
    if not isinstance(fields, Mapping):
        problems.append(f"keep {value!r} is no rule: write {FORM}")
        return None
    try:
        if "top" in fields:
            return msgspec.convert(dict(fields), Top)
        rule = msgspec.convert(dict(fields), Threshold)
    except msgspec.ValidationError as error:
        problems.append(f"keep {value!r}: {error}")
        return None
    if (rule.above is None) == (rule.below is None):
        problems.append(f"keep {value!r} needs one of top, above and below")
        return None
    return rule


def _fields_of_text(text: str) -> dict[str, Any] | None:
    if match := TOP.fullmatch(text.strip()):
        return {"top": int(match["top"]), "by": match["by"], "at": int(match["at"])}
    if match := THRESHOLD.fullmatch(text.strip()):
        try:
            return {"by": match["by"], match["side"]: float(match["bound"]), "at": int(match["at"])}
        except ValueError:
            return None
    return None


def _contradictions(rule: Rule, epochs: int, trials: int) -> list[str]:
    found = []
    if rule.by not in METRICS:
        found.append(f"there is no metric {rule.by!r}; there are {', '.join(METRICS)}")
    if not 1 <= rule.at <= epochs:
        found.append(f"a trial has the epochs 1 to {epochs}")
    if isinstance(rule, Top) and not 1 <= rule.top < trials:
        found.append(f"of {trials} trials it must keep at least 1 and fewer than all")
    return found
