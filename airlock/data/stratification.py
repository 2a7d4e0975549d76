"""The stratified split: every class keeps the fractions to within a sample or two, and old samples never move.

No function of a sample alone can do both, so this one is told the split before: what was assigned stays, and what is
new goes, in the order of its hash, to whichever split its class lacks most.

How far a class may be off: with single samples no split has 2/3 of a sample too many, nor 4/3 too few (a share is
only given to the split that lacks most, at least 1/3; what all lack adds up to nothing). A group moves as one and
can put its class off by its own size.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from airlock.data.splitting import Item, check_fractions, check_groups, counted, declare, position, shares
from airlock.errors import DataRejected

Stratum = tuple[str, str]


def stratified(
    items: Sequence[Item],
    fractions: Mapping[str, float],
    salt: str,
    previous: Mapping[str, str],
    test_sources: Sequence[str] = (),
) -> tuple[list[str], dict[str, int]]:
    """Assign every sample so that its class keeps the fractions.

    :param previous: sample id to split of the split before; empty for the first.
    :return: the splits in the same order, and how many samples each got.
    :raises DataRejected: a split got no sample, a group would straddle, or what was trained with is now declared test.
    """
    check_fractions(fractions)
    items = declare(items, test_sources)
    check_groups(items)
    units: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        units[item.unit].append(item)
    assigned = _kept(units, previous)
    have: dict[Stratum, Counter[str]] = defaultdict(Counter)
    for unit, where in assigned.items():
        have[_stratum(units[unit])][where] += len(units[unit])
    for unit in sorted(units.keys() - assigned.keys(), key=lambda unit: (position(unit, salt), unit)):
        members = units[unit]
        where = _most_lacking(have[_stratum(members)], shares(members[0].declared, fractions), len(members))
        have[_stratum(members)][where] += len(members)
        assigned[unit] = where
    return counted([assigned[item.unit] for item in items], fractions)


def _kept(units: Mapping[str, list[Item]], previous: Mapping[str, str]) -> dict[str, str]:
    kept = {}
    for unit, members in units.items():
        before = {previous[member.sample_id]: member for member in members if member.sample_id in previous}
        if len(before) > 1:
            raise DataRejected(
                f"The group {members[0].group!r} straddles {' and '.join(sorted(before))} in the split before.",
                hint="Draw a new split with another salt; models trained on the old one cannot be compared with it.",
            )
        for where, member in before.items():
            _check_still_allowed(member, where)
            kept[unit] = where
    return kept


def _check_still_allowed(member: Item, where: str) -> None:
    if (member.declared == "test") != (where == "test") and member.declared:
        raise DataRejected(
            f"Sample {member.sample_id[:12]} ({member.source or 'no source'}) was in {where} in the split before, and "
            f"is now declared {member.declared}.",
            hint="Take it out of the test source, or draw a new split with another salt.",
        )


def _stratum(members: Sequence[Item]) -> Stratum:
    """The class most of them have; of several the first by name."""
    votes = Counter(member.label or "" for member in members)
    return min(votes, key=lambda label: (-votes[label], label)), members[0].declared or ""


def _most_lacking(have: Mapping[str, int], wanted: Mapping[str, float], size: int) -> str:
    total = sum(have.get(name, 0) for name in wanted) + size
    return _first_largest((share * total - have.get(name, 0), name) for name, share in wanted.items())


def _first_largest(lacks: Iterable[tuple[float, str]]) -> str:
    best, chosen = float("-inf"), ""
    for lack, name in lacks:
        if lack > best + 1e-9:  # a tie goes to the first split, whatever the last bit of a product says
            best, chosen = lack, name
    return chosen
