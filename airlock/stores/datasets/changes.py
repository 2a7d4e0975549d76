"""Comparing versions, and bringing one line's changes into another."""

from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import UserError
from airlock.references import DatasetVersion
from airlock.stores.datasets.commits import columns
from airlock.stores.datasets.history import Change, Made, environment, own, properties, user, version_of
from airlock.stores.datasets.reading import rows_of
from airlock.stores.datasets.transactions import Removal, publish, retried
from airlock.stores.datasets.writing import KEY
from airlock.stores.rows import ROW, SIZE, content_digest
from airlock.stores.tables import split

if TYPE_CHECKING:
    import lance

    from airlock.stores.datasets.store import DatasetStore

CHUNK = 512


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between two versions: sample ids, each list sorted.

    :param changed: for each changed sample the columns that differ.
    :param columns_added: columns only the later version has; likewise ``columns_removed``.
    :param columns_changed: columns whose type differs.
    """

    added: list[str]
    removed: list[str]
    changed: dict[str, list[str]]
    columns_added: list[str] = []
    columns_removed: list[str] = []
    columns_changed: list[str] = []


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """A sample that both lines changed, each in its own way: ``added``, ``changed`` or ``removed``."""

    sample_id: str
    source: str
    target: str


class Merge(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a merge.

    :param version: the new version; ``None`` when there are conflicts.
    """

    version: DatasetVersion | None
    change: Change
    conflicts: list[Conflict]


def diff(before: "lance.LanceDataset", after: "lance.LanceDataset") -> Diff:
    """Compare two opened versions; content is read only of samples that changed."""
    old, new = _index(before), _index(after)
    types = columns(before.schema), columns(after.schema)
    shared = [name for name in types[0] if name in types[1]]
    both = old.keys() & new.keys()
    # With other columns every row's digest is another: then the rows must be looked at.
    candidates = sorted(key for key in both if types[0] != types[1] or old[key] != new[key])
    found = _differing(before, after, candidates, [name for name in shared if types[0][name] == types[1][name]])
    retyped = [name for name in shared if types[0][name] != types[1][name]]
    return Diff(
        added=sorted(new.keys() - old.keys()),
        removed=sorted(old.keys() - new.keys()),
        changed={key: names for key, names in found.items() if names},
        columns_added=sorted(types[1].keys() - types[0].keys()),
        columns_removed=sorted(types[0].keys() - types[1].keys()),
        columns_changed=sorted(retyped),
    )


def merge(store: "DatasetStore", source: str, target: str, process: dict[str, Any]) -> Merge:
    """Merge; see :meth:`airlock.stores.datasets.DatasetStore.merge`."""
    if split(source)[0] != split(target)[0] or source == target:
        raise UserError(f"{source} is no other line of dataset {target}.", hint="Merge dataset@branch and dataset.")
    return retried(f"dataset {target}", lambda: _merge(store, source, target, process))


def _merge(store: "DatasetStore", source: str, target: str, process: dict[str, Any]) -> Merge:
    theirs, ours = store.tables.open(source), store.tables.open(target)
    base = _base(store, source, target)
    if theirs is None or ours is None or base is None:
        raise UserError(f"{source} or {target} is not there.", hint="`airlock data list` names datasets and branches.")
    if not columns(theirs.schema) == columns(ours.schema) == columns(base.schema):
        raise UserError(f"{source} and {target} have different columns.", hint="Commit the columns to one of them.")
    old, came, have = _index(base), _index(theirs), _index(ours)
    moved = {key for key in old.keys() | came.keys() if old.get(key) != came.get(key)}
    conflicts = [
        Conflict(sample_id=key, source=_what(old, came, key), target=_what(old, have, key))
        for key in sorted(moved)
        if have.get(key) != old.get(key) and have.get(key) != came.get(key)
    ]
    if conflicts:
        return Merge(version=None, change=Change(), conflicts=conflicts)
    wanted = {key for key in moved if have.get(key) != came.get(key)}
    if not wanted:
        return Merge(version=version_of(target, ours), change=Change(), conflicts=[])
    return _publish(target, ours, theirs, have, came, wanted, process | {"merged": source, "at": theirs.version})


def _publish(
    target: str,
    ours: "lance.LanceDataset",
    theirs: "lance.LanceDataset",
    have: dict[str, bytes],
    came: dict[str, bytes],
    wanted: set[str],
    process: dict[str, Any],
) -> Merge:
    import numpy as np
    from lance.fragment import write_fragments

    new = [key for key in wanted if key in came]
    gone = np.sort(np.array([have[key] for key in wanted if key in have], dtype=f"S{SIZE}"))
    rows = rows_of(theirs, new, ours.schema.names)
    fragments = write_fragments(rows, ours, mode="append") if new else []
    after = {key: row for key, row in have.items() if key not in wanted} | {key: came[key] for key in new}
    digest = content_digest(own(ours.schema), b"".join(after.values()))
    changed = sum(1 for key in new if key in have)
    change = Change(added=len(new) - changed, changed=changed, removed=len(wanted) - len(new))
    made = Made(kind="merge", who=user(), environment=environment(), change=change)
    written = publish(ours, fragments, properties(digest, process, made), Removal(ours, gone))
    return Merge(version=version_of(target, written, digest), change=change, conflicts=[])


def _base(store: "DatasetStore", source: str, target: str) -> "lance.LanceDataset | None":
    """Open the version of the main line at which the branch began, or both did the earlier of the two."""
    table = split(source)[0]
    main = store.tables.open(table)
    known = main.branches.list() if main else {}
    starts = [known[branch]["parent_version"] for name in (source, target) if (branch := split(name)[1]) in known]
    return store.tables.open(table, min(starts)) if starts else None


def _what(before: dict[str, bytes], after: dict[str, bytes], key: str) -> str:
    if key not in after:
        return "removed"
    return "changed" if key in before else "added"


def _index(data: "lance.LanceDataset") -> dict[str, bytes]:
    table = data.to_table(columns=[KEY, ROW])
    return dict(zip(*(table[name].to_pylist() for name in (KEY, ROW)), strict=True))


def _differing(
    before: "lance.LanceDataset", after: "lance.LanceDataset", keys: list[str], names: list[str]
) -> dict[str, list[str]]:
    found = {}
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        pair = [rows_of(data, chunk, names).sort_by(KEY).to_pylist() for data in (before, after)]
        for old, new in zip(*pair, strict=True):
            found[str(old[KEY])] = [name for name in names if old[name] != new[name]]
    return found
