"""The split: a sample's place follows from its own id, so old samples never move when new ones arrive.

A group stands for its samples: its name is hashed instead of theirs, so that it never straddles.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from airlock.errors import DataRejected, UserError

SPLITS = ("train", "validation", "test")
NAMED = 3


class Item(NamedTuple):
    """What a split looks at of one sample.

    :param declared: ``train`` or ``test`` when its source or the use case says so: test is test, train never is.
    :param group: samples of one group share a split.
    :param source: path inside the source.
    """

    sample_id: str
    declared: str | None = None
    group: str | None = None
    label: str | None = None
    source: str = ""

    @property
    def unit(self) -> str:
        """What is hashed: the group if there is one. A NUL keeps a group from being mistaken for a sample."""
        return self.sample_id if self.group is None else f"group\0{self.group}"


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Check that fractions are a split.

    :raises UserError: another name, a negative share, no training share, or a sum that is not 1.
    """
    wrong = sorted(fractions.keys() - set(SPLITS))
    if wrong:
        raise UserError(f"fractions names {', '.join(wrong)}.", hint=f"The splits are {', '.join(SPLITS)}.")
    if min(fractions.values(), default=0) < 0 or not fractions.get("train"):
        raise UserError(f"fractions {dict(fractions)} leave no training share, or one is negative.", hint=EXAMPLE)
    total = math.fsum(fractions.values())
    if not math.isclose(total, 1, abs_tol=1e-6):
        raise UserError(f"fractions {dict(fractions)} sum to {total:g}, not 1.", hint=EXAMPLE)


EXAMPLE = 'For example {"train": 0.7, "validation": 0.15, "test": 0.15}.'


def position(unit: str, salt: str) -> float:
    """Return a number in [0, 1) that depends on nothing but the sample (or group) and the salt."""
    head = hashlib.sha256(f"{salt}:{unit}".encode()).digest()[:7]
    # 53 of the 56 bits: what a float holds exactly.
    return (int.from_bytes(head, "big") >> 3) / (1 << 53)


def shares(declared: str | None, fractions: Mapping[str, float]) -> dict[str, float]:
    """Return the shares that are open to a sample: all, those without test, or test alone."""
    if declared == "test":
        return {"test": 1.0}
    wanted = {name: fractions.get(name, 0.0) for name in SPLITS if not (declared == "train" and name == "test")}
    total = math.fsum(wanted.values())
    return {name: share / total for name, share in wanted.items() if share}


def assign(unit: str, declared: str | None, fractions: Mapping[str, float], salt: str) -> str:
    """Return the split of a sample or group by its hash. What is declared test is test, what is declared train never.

    :param unit: sample id, or what :attr:`Item.unit` makes of a group.
    """
    place, chosen = position(unit, salt), "train"
    for name, share in shares(declared, fractions).items():
        chosen = name
        if place < share:
            break
        place -= share
    return chosen


def declare(items: Iterable[Item], test_sources: Sequence[str]) -> list[Item]:
    """Declare test what lies in the test sources, whatever its source says.

    :param test_sources: patterns of source paths, ``*`` for anything: ``hospital-b/*``.
    :raises UserError: a pattern matches nothing.
    """
    unmatched, declared = set(test_sources), []
    for item in items:
        matching = [pattern for pattern in test_sources if fnmatchcase(item.source, pattern)]
        unmatched.difference_update(matching)
        declared.append(item._replace(declared="test") if matching else item)
    if unmatched:
        raise UserError(
            f"test_sources {sorted(unmatched)!r} match no labelled sample.",
            hint="Write patterns of paths as the column source holds them, for example 'hospital-b/*'.",
        )
    return declared


def check_groups(items: Iterable[Item]) -> None:
    """Check that the samples of a group are declared alike: else it would lie in test and in train.

    :raises DataRejected: names the group and its samples.
    """
    found: dict[str, dict[str | None, str]] = defaultdict(dict)
    for item in items:
        if item.group is not None:
            found[item.group].setdefault(item.declared, item.sample_id)
    mixed = {group: parts for group, parts in found.items() if len(parts) > 1}
    if mixed:
        raise DataRejected(
            f"{len(mixed)} groups hold samples that are declared for different splits: {_described(mixed)}.",
            hint="Take the group out of the test source, or out of the training data: it would leak into the test.",
        )


def split(
    items: Sequence[Item], fractions: Mapping[str, float], salt: str, test_sources: Sequence[str] = ()
) -> tuple[list[str], dict[str, int]]:
    """Assign every sample by its hash.

    :return: the splits in the same order, and how many samples each got.
    :raises DataRejected: a split that should have samples got none, or a group would straddle.
    """
    check_fractions(fractions)
    items = declare(items, test_sources)
    check_groups(items)
    return counted([assign(item.unit, item.declared, fractions, salt) for item in items], fractions)


def counted(assigned: list[str], fractions: Mapping[str, float]) -> tuple[list[str], dict[str, int]]:
    """Count the samples of each split.

    :raises DataRejected: a split that should have samples got none.
    """
    counts = Counter(assigned)
    empty = [name for name in SPLITS if fractions.get(name) and not counts[name]]
    if empty:
        raise DataRejected(
            f"{len(assigned)} samples leave the split {', '.join(empty)} empty.",
            hint="Bring more samples, or change the fractions.",
        )
    return assigned, {name: counts[name] for name in SPLITS}


def _described(mixed: Mapping[str, Mapping[str | None, str]]) -> str:
    named = []
    for group, parts in sorted(mixed.items())[:NAMED]:
        members = ", ".join(f"{sample[:12]} {declared or 'undeclared'}" for declared, sample in parts.items())
        named.append(f"{group!r} ({members})")
    return "; ".join(named) + ("; …" if len(mixed) > NAMED else "")
