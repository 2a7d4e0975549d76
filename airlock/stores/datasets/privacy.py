"""Deletion for privacy: the bytes go from every file, a tombstone stays.

The newest versions get a successor without the samples. Then every data file that holds one is written again, with a
marker in the place of the row, and replaced where it lies: files are shared by versions and branches, so this reaches
all of them, and what killed writers left behind. Versions that had the sample no longer add up to their digest, and
say why. Doing it again finishes what was interrupted.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from airlock.errors import IntegrityError, UserError
from airlock.references import DatasetVersion
from airlock.stores.datasets.history import Change, Made, environment, own, properties, title, user
from airlock.stores.datasets.scrubbing import MARKERS, marker, scrub
from airlock.stores.datasets.transactions import Removal, publish, retried
from airlock.stores.datasets.writing import KEY
from airlock.stores.rows import ROW, SIZE, content_digest, fixed
from airlock.stores.tables import BRANCH, Tables, split

if TYPE_CHECKING:
    import lance


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a sample that was deleted for privacy.

    :param sample: sha256 of the sample id.
    :param when: seconds since the epoch.
    :param versions: the versions that had it, as ``name:number``.
    """

    sample: str
    dataset: str
    reason: str
    who: str
    when: float
    versions: list[str]


def forget(tables: Tables, name: str, sample_ids: list[str], reason: str, who: str) -> list[Tombstone]:
    """Forget; see :meth:`airlock.stores.datasets.DatasetStore.forget`."""
    table = split(name)[0]
    if not reason.strip():
        raise UserError("A deletion for privacy needs a reason.", hint="Say on whose request, or by which rule.")
    main = tables.open(table)
    if main is None:
        raise UserError(f"There is no dataset {table}.", hint="`airlock data list` names them.")
    lines = [table, *(f"{table}{BRANCH}{each}" for each in sorted(main.branches.list()))]
    had = _versions_with(tables, lines, sample_ids)
    known = {stone.sample for stone in tombstones(tables, table)}
    if missing := [each for each in sample_ids if not had[each] and marker(each) not in known]:
        raise UserError(
            f"No version of dataset {table} has the sample {missing[0]}.", hint="`airlock data show` lists samples."
        )
    for sample_id in sample_ids:
        stone = Tombstone(
            sample=marker(sample_id), dataset=table, reason=reason, who=who, when=time.time(), versions=had[sample_id]
        )
        # First of all: from here on no commit brings the sample back, and every version can say where it is.
        tables.objects.create(f"{_folder(table)}/{stone.sample}.json", msgspec.json.encode(stone))
    for line in lines:
        retried(f"dataset {line}", lambda line=line: _leave_out(tables, line, sample_ids, reason))  # type: ignore[misc]
    scrub(tables, table, set(sample_ids))
    wanted = {marker(sample_id) for sample_id in sample_ids}
    return [stone for stone in tombstones(tables, table) if stone.sample in wanted]


def tombstones(tables: Tables, name: str) -> list[Tombstone]:
    """Return the tombstones of a dataset, oldest first."""
    keys = tables.objects.keys(_folder(split(name)[0]))
    found = (tables.objects.read(key) for key in keys)
    stones = [msgspec.json.decode(text, type=Tombstone) for text in found if text]
    return sorted(stones, key=lambda stone: (stone.when, stone.sample))


def banned(tables: Tables, name: str) -> Callable[[list[str]], list[bool]] | None:
    """Return what says which sample ids must not come back; ``None`` when there are none."""
    tables.path(name)  # the name is checked
    hashes = {key.rpartition("/")[2].removesuffix(".json") for key in tables.objects.keys(_folder(split(name)[0]))}
    return (lambda ids: [marker(str(each)) in hashes for each in ids]) if hashes else None


def forgotten_rows(tables: Tables, version: DatasetVersion, data: "lance.LanceDataset") -> IntegrityError | None:
    """Return the error that says why a version no longer adds up; ``None`` when deletion is not the reason."""
    import pyarrow as pa
    import pyarrow.compute as pc

    stones = {stone.sample[:size]: stone for stone in tombstones(tables, version.name) for size in MARKERS}
    keys = data.to_table(columns=[KEY]).column(KEY)
    marked = keys.filter(pc.is_in(keys, value_set=pa.array(list(stones), keys.type)))
    found = [stones[key] for key in marked.to_pylist()]
    if not found:
        return None
    last = found[-1]
    on = time.strftime("%Y-%m-%d", time.gmtime(last.when))
    return IntegrityError(
        f"The {title(version)} is no longer whole: {len(found)} of its {version.rows} samples were deleted for privacy,"
        f" the last on {on} by {last.who} ({last.reason}).",
        hint=f"Take the newest version of {version.name}, which never names them.",
    )


def _leave_out(tables: Tables, line: str, sample_ids: list[str], reason: str) -> None:
    """Make a version without the samples the newest of a line."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    data = tables.open(line)
    if data is None:
        return
    index = data.to_table(columns=[KEY, ROW])
    chosen = pc.is_in(index.column(KEY), value_set=pa.array(sample_ids, index.schema.field(KEY).type))
    gone = np.sort(fixed(index.filter(chosen).column(ROW), SIZE))
    if not len(gone):
        return
    left = fixed(index.filter(pc.invert(chosen)).column(ROW), SIZE)
    made = Made(kind="forget", who=user(), environment=environment(), change=Change(removed=len(gone)))
    process = {"forgotten": sorted(marker(each) for each in sample_ids), "reason": reason}
    publish(data, [], properties(content_digest(own(data.schema), left), process, made), Removal(data, gone))


def _versions_with(tables: Tables, lines: list[str], sample_ids: list[str]) -> dict[str, list[str]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    found: dict[str, list[str]] = {each: [] for each in sample_ids}
    for line in lines:
        latest = tables.open(line)
        for entry in latest.versions() if latest else ():
            data = tables.open(line, entry["version"])
            if data is None:
                continue
            keys = data.to_table(columns=[KEY]).column(KEY)
            for key in keys.filter(pc.is_in(keys, value_set=pa.array(sample_ids, keys.type))).to_pylist():
                found[key].append(f"{line}:{entry['version']}")
    return found


def _folder(table: str) -> str:
    return f"{table}.airlock/tombstones"
