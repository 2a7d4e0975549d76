"""Corrupt files, duplicates, and what leaks from one split into another."""

from collections.abc import Iterable, Mapping, Sequence

from airlock.data.checks.declaration import CorruptFiles, ExactDuplicates, Leakage, NearDuplicates
from airlock.data.checks.finding import Finding, percent
from airlock.data.checks.subject import Subject
from airlock.data.similarity.pairs import Twins, surplus, twin
from airlock.errors import UserError

SEVERAL = {"content": "the same content", "near_duplicate": "nearly the same content", "group": "the same group"}


def corrupt_files(check: CorruptFiles, subject: Subject) -> Finding:
    """Count what cannot be decoded."""
    corrupt = subject.scan.corrupt
    share = len(corrupt) / subject.rows
    reasons = "; ".join(f"{name[:12]}: {reason}" for name, reason in sorted(corrupt.items())[:3])
    return Finding(
        success=share <= check.max_share,
        rule=f"At most {percent(check.max_share)} of the files are corrupt",
        observed=f"{len(corrupt)} of {subject.rows}" + (f" ({reasons})" if corrupt else ""),
        figure=share,
        sample_ids=tuple(sorted(corrupt)),
    )


def exact_duplicates(check: ExactDuplicates, subject: Subject) -> Finding:
    """Count the samples that show what another one shows."""
    pairs = _same(subject.scan.ids, subject.scan.equal)
    return _duplicates(subject, pairs, check.max_share, "show exactly what another one shows")


def near_duplicates(check: NearDuplicates, subject: Subject) -> Finding:
    """Count the samples that look or read almost like another one, exact duplicates among them."""
    pairs = subject.near(check.distance, check.similarity)
    return _duplicates(subject, pairs, check.max_share, "are nearly the same as another one")


def leakage(check: Leakage, subject: Subject) -> Finding:
    """Count the samples that another split knows already.

    :raises UserError: there is no split, or groups are asked for and the samples have none.
    """
    split = subject.require_split()
    crossing: list[Twins] = []
    told = []
    for way in check.by:
        pairs = _ways(way, check, subject, split)
        told.append(f"{len(pairs)} pairs of {SEVERAL[way]}")
        crossing += pairs
    leaked = {name for pair in crossing for name in (pair.first, pair.second)}
    held_out = {name for name in leaked if split[name] != "train"}
    known = len(split) or 1
    readable = not subject.scan.corrupt if {"content", "near_duplicate"} & set(check.by) else True
    return Finding(
        success=len(held_out) <= check.max_share * known and readable,
        rule=f"At most {percent(check.max_share)} of the samples leak from one split into another",
        observed=f"{len(held_out)} of {known} samples: {', '.join(told)}" + _unread(subject, readable),
        figure=len(held_out) / known,
        sample_ids=tuple(sorted(held_out)),
        twins=tuple(sorted(set(crossing), key=lambda pair: (-pair.similarity, pair.first, pair.second))),
    )


def _ways(way: str, check: Leakage, subject: Subject, split: Mapping[str, str]) -> list[Twins]:
    if way == "group":
        return _across(_groups(subject), split)
    if way == "content":
        return _across(_members(subject.scan.ids, subject.scan.equal), split)
    pairs = subject.near(check.distance, check.similarity)
    return [pair for pair in pairs if split.get(pair.first, "") != split.get(pair.second, "") and _both(pair, split)]


def _both(pair: Twins, split: Mapping[str, str]) -> bool:
    return pair.first in split and pair.second in split


def _groups(subject: Subject) -> Iterable[Sequence[str]]:
    frame = subject.frame
    if "group" not in frame.columns:
        raise UserError(
            "The check leakage looks at groups, and these samples have none.",
            hint='Take "group" out of its `by`, or give the samples groups where they are ingested.',
        )
    known = frame[frame["group"].notna()]
    return _members(known["sample_id"].tolist(), known["group"].tolist())


def _across(groups: Iterable[Sequence[str]], split: Mapping[str, str]) -> list[Twins]:
    """Pair, in each group that straddles splits, the first sample of one split with those of the others."""
    pairs = []
    for members in groups:
        placed = sorted(name for name in members if name in split)
        if len({split[name] for name in placed}) > 1:
            first = next((name for name in placed if split[name] == "train"), placed[0])
            pairs += [twin(first, name) for name in placed if split[name] != split[first]]
    return pairs


def _same(ids: Sequence[str], keys: Sequence[object]) -> list[Twins]:
    groups = (sorted(members) for members in _members(ids, keys))
    return sorted(
        (twin(members[0], name) for members in groups for name in members[1:]),
        key=lambda pair: (pair.first, pair.second),
    )


def _members(ids: Sequence[str], keys: Sequence[object]) -> list[list[str]]:
    """Return the groups of samples that share a key."""
    groups: dict[object, list[str]] = {}
    for name, key in zip(ids, keys, strict=True):
        groups.setdefault(key, []).append(name)
    return [members for members in groups.values() if len(members) > 1]


def _duplicates(subject: Subject, pairs: Sequence[Twins], max_share: float, what: str) -> Finding:
    """What cannot be decoded cannot be compared: it fails the check, whatever the share is."""
    extra = surplus(pairs)
    share = len(extra) / subject.rows
    readable = not subject.scan.corrupt
    return Finding(
        success=share <= max_share and readable,
        rule=f"At most {percent(max_share)} of the samples {what}",
        observed=f"{len(extra)} of {subject.rows} ({percent(share)}), {len(pairs)} pairs" + _unread(subject, readable),
        figure=share,
        sample_ids=tuple(sorted(extra)),
        twins=tuple(pairs),
    )


def _unread(subject: Subject, readable: bool) -> str:
    return "" if readable else f"; {len(subject.scan.corrupt)} cannot be decoded, so they were not compared"
