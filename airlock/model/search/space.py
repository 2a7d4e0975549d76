"""What a search may vary: ranges of numbers and lists of choices, by the name of a parameter."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, takewhile
from typing import Any

import msgspec

NETWORK, DATA = "network", "data"
"""Parameters that choose an architecture's file and a dataset version instead of a number."""

NAME = re.compile(r"[A-Za-z_]\w*")
GROUP = re.compile(r"""net\[(["'])[\w\-*?\[\]!]+\1\](\.[A-Za-z_]\w*)+""")
"""A path into the network, see :mod:`airlock.model.architecture`."""

Scalar = bool | int | float | str | None


class Range(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers from ``low`` to ``high``, both included; whole ones when both are written as whole numbers.

    :param step: distance of the numbers; any when ``None``, 1 for whole numbers.
    :param log: draw the logarithm evenly.
    """

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 1))

    def values(self) -> list[int | float]:
        """Every number in it; none when there are infinitely many."""
        if self.low == self.high:
            return [self.low]
        if self.step is None and not self.whole:
            return []
        step = self.step or 1
        fits = takewhile(lambda value: value <= self.high + 1e-9 * step, (self.low + step * place for place in count()))
        return list(fits)

    @property
    def first(self) -> int | float:
        """One of them, for checks that need a value."""
        return self.low

    def suggest(self, trial: Any, name: str) -> int | float:
        """Have an Optuna trial choose."""
        if self.whole:
            chosen: int = trial.suggest_int(name, self.low, self.high, step=self.step or 1, log=self.log)
            return chosen
        number: float = trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        return number


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """One of these values."""

    of: tuple[Scalar, ...]

    def values(self) -> list[Scalar]:
        """All of them."""
        return list(self.of)

    @property
    def first(self) -> Scalar:
        """One of them, for checks that need a value."""
        return self.of[0]

    def suggest(self, trial: Any, name: str) -> Scalar:
        """Have an Optuna trial choose."""
        chosen: Scalar = trial.suggest_categorical(name, self.of)
        return chosen


Space = dict[str, Range | Choices]


def read_space(document: Any, problems: list[str]) -> Space:
    """Read ``vary``; what is wrong with it is added to the problems."""
    if not isinstance(document, Mapping) or not document:
        problems.append("vary is empty: name at least one parameter with a range or a list")
        return {}
    space: Space = {}
    for name, value in document.items():
        found = list(_name_problems(name))
        if isinstance(value, Mapping):
            space[name] = _range(value, found)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            space[name] = _choices(name, value, found)
        else:
            found.append("is neither a range {low, high} nor a list of choices")
        problems += [f"vary {name}: {problem}" for problem in found]
    if not problems and all(len(each.values()) == 1 for each in space.values()):
        problems.append("nothing varies: every parameter has one value")
    return space


def _name_problems(name: Any) -> Iterator[str]:
    if not isinstance(name, str) or not (NAME.fullmatch(name) or GROUP.fullmatch(name)):
        yield 'is no name of a parameter; one of a group of layers looks like net["conv*"].lr'


def _range(value: Mapping[str, Any], problems: list[str]) -> Range:
    try:
        found = msgspec.convert(dict(value), Range)
    except msgspec.ValidationError as error:
        problems.append(str(error))
        return Range(low=0, high=0)
    problems += _range_problems(found)
    return found if not problems else Range(low=found.low, high=found.low)


def _range_problems(found: Range) -> Iterator[str]:
    if not all(math.isfinite(value) for value in (found.low, found.high, found.step or 0)):
        yield "its bounds must be finite"
    elif found.low > found.high:
        yield f"low {found.low} is larger than high {found.high}"
    elif found.step is not None and not 0 < found.step <= found.high - found.low:
        yield f"step {found.step} does not fit between {found.low} and {found.high}"
    if found.log and found.low <= 0:
        yield f"log needs a low above 0, not {found.low}"
    if found.log and found.step is not None:
        yield "log and step exclude each other"


def _choices(name: str, value: Sequence[Any], problems: list[str]) -> Choices:
    if not value:
        problems.append("has no choice")
    if wrong := [each for each in value if not isinstance(each, Scalar)]:
        problems.append(f"choices are numbers, texts, true, false or null, not {wrong[0]!r}")
    elif len({(type(each), each) for each in value}) < len(value):
        problems.append("names a choice twice")
    if name in (NETWORK, DATA) and any(not isinstance(each, str) for each in value):
        problems.append("its choices must be texts")
    return Choices(of=tuple(value))


def merged(parameters: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training's parameters: the base ones, and what a trial chose over them."""
    return {**parameters, **{name: value for name, value in chosen.items() if name not in (NETWORK, DATA)}}
