"""What is wrong with an architecture: every problem at once, each with its file, its node and the reason."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import msgspec

from airlock.errors import UserError


class Problem(msgspec.Struct, frozen=True):
    """One thing to correct.

    :param file: the file that says it, as seen from the architecture's own folder.
    :param node: the node, ``input``, ``output`` or ``parameters``; empty for the document itself.
    :param reason: the rule it breaks.
    """

    file: str
    node: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.file}, {self.node}" if self.node else self.file
        return f"{where}: {self.reason}"


class ArchitectureError(UserError):
    """An architecture that cannot be built.

    :param name: the architecture's file.
    :param problems: what to correct, at least one.
    """

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "".join(f"\n- {problem}" for problem in problems)
        super().__init__(f"The architecture {name} has {count} (see docs/architectures.md):{lines}")
        self.problems = tuple(problems)


def meant(word: str, known: Iterable[str], resembles: float = 0.6) -> str:
    """Return ``; did you mean X?`` for the nearest known word, or nothing when none is near."""
    by_lower = {each.lower(): each for each in known}
    near = get_close_matches(word.lower(), by_lower, n=1, cutoff=resembles)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""
