"""Garbage: versions that nobody refers to, and files that no version names."""

import time
from collections.abc import Container
from datetime import timedelta

import msgspec

from airlock.references import DatasetVersion
from airlock.stores.datasets.history import created, digest_of, version_of
from airlock.stores.tables import BRANCH, Tables, split


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed, or would be.

    :param kept: versions that stay because something refers to them.
    """

    removed: list[DatasetVersion]
    kept: list[DatasetVersion]
    bytes: int = 0


def collect(tables: Tables, name: str, keep: Container[str], older_than: float, *, dry: bool) -> Collected:
    """Collect; see :meth:`airlock.stores.datasets.DatasetStore.collect_garbage`.

    Of each line the newest version stays, every tagged one, every one that a branch begins at, and those whose digest
    is in ``keep``. Files that no version names go when they are a week old: a writer may still be at work.
    """
    main = tables.open(split(name)[0])
    branches = main.branches.list() if main else {}
    lines = [split(name)[0], *(f"{split(name)[0]}{BRANCH}{branch}" for branch in sorted(branches))]
    protected = {(entry["branch"] or "", entry["version"]) for entry in (main.tags.list() if main else {}).values()}
    protected |= {(entry["parent_branch"] or "", entry["parent_version"]) for entry in branches.values()}
    removed: list[DatasetVersion] = []
    kept: list[DatasetVersion] = []
    size = 0
    for line in lines:
        latest = tables.open(line)
        if latest is None:
            continue
        going: list[int] = []
        for number, moment in sorted(created(latest).items()):
            data = tables.open(line, number)
            if data is None or number == latest.version:
                continue
            young = time.time() - moment < older_than
            held = (split(line)[1], number) in protected or young or digest_of(data) in keep
            (kept if held else removed).append(version_of(line, data))
            if not held:
                going.append(number)
        if not dry:
            stats = (
                latest.cleanup_old_versions(versions=going, error_if_tagged_old_versions=False)
                if going
                else latest.cleanup_old_versions(timedelta(days=36500), error_if_tagged_old_versions=False)
            )
            size += stats.bytes_removed
    return Collected(removed=removed, kept=kept, bytes=size)
