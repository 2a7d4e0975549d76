"""``airlock data``: datasets, their versions, and what can be done with them."""

import re
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from airlock.commands.output import console, plain, when
from airlock.digests import short
from airlock.errors import DataRejected, UserError
from airlock.references import DatasetVersion
from airlock.settings import settings
from airlock.stores.datasets import Change, DatasetStore, open_datasets

app = typer.Typer(no_args_is_help=True, help="Datasets: their versions, history, differences, branches and clean-up.")
SHOWN = 20
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Version = Annotated[str, typer.Argument(help="DATASET, DATASET:NUMBER, DATASET:TAG or DATASET@BRANCH[:NUMBER].")]
Name = Annotated[str, typer.Argument(help="DATASET, or DATASET@BRANCH.")]


@app.command("list")
def list_() -> None:
    """List the datasets and their branches, each with its newest version."""
    store = _store()
    table = Table("dataset", "version", "digest", "samples", "made", "by", box=None, pad_edge=False)
    for name in store.names():
        for line in (name, *store.branches(name)):
            entry = store.log(line)[0]
            row = (line, entry.version.version, short(entry.version.digest), entry.version.rows)
            table.add_row(*map(str, row), when(entry.created), Text(entry.made.who))
    console.print(table)


@app.command()
def add(
    name: Name,
    location: Annotated[str, typer.Argument(help="Path, or URL for the kinds that take one.")],
    kind: Annotated[str, typer.Option(help="Kind of source.")] = "folder",
) -> None:
    """Make what a source holds the newest version; of a folder added before only what changed is read."""
    from airlock.data.adding import add as added
    from airlock.data.sources import parse_source

    with tempfile.TemporaryDirectory(prefix="airlock-add-") as folder, console.status(f"reading {location}"):
        source = parse_source({"kind": kind, "location": location})
        version, change = added(_store(), name, source, Path(folder), lambda *_progress: None)
    plain.print(f"{_title(version)}: {_counts(change)}")


@app.command()
def log(name: Name) -> None:
    """Show a dataset's history, newest first: who made each version, when, and what it changed."""
    table = Table("version", "digest", "samples", "made", "by", "kind", "change", "tags", box=None, pad_edge=False)
    for entry in _store().log(name):
        row = (entry.version.version, short(entry.version.digest), entry.version.rows, when(entry.created))
        last = (entry.made.who, entry.made.kind, _counts(entry.made.change), ", ".join(entry.tags))
        table.add_row(*map(str, row), *map(Text, last))
    console.print(table)


@app.command()
def show(version: Version) -> None:
    """Show a version: its columns, and the process that made it."""
    store = _store()
    found = store.resolve(version)
    entry = next(each for each in store.log(found.name) if each.version == found)
    plain.print(f"{_title(found)}, {found.rows} samples\ndigest    {found.digest}")
    plain.print(f"made      {when(entry.created)} by {entry.made.who}, {entry.made.kind}: {_counts(entry.made.change)}")
    plain.print(f"with      {', '.join(f'{key} {value}' for key, value in entry.made.environment.items()) or '–'}")
    plain.print(f"tags      {', '.join(entry.tags) or '–'}\ncolumns   {', '.join(_columns(store, found))}")
    plain.print("process   " + msgspec.json.format(msgspec.json.encode(entry.process), indent=2).decode())
    if stones := store.tombstones(found.name):
        plain.print(f"{len(stones)} samples of this dataset were deleted for privacy:")
    for stone in stones:
        plain.print(f"  {stone.sample[:12]} on {when(stone.when)} by {stone.who}: {stone.reason}")


@app.command()
def diff(
    before: Version, after: Version, names: Annotated[int, typer.Option(help="How many to name.")] = SHOWN
) -> None:
    """Say what differs between two versions: samples, and the columns in which they do."""
    store = _store()
    found = store.diff(store.resolve(before), store.resolve(after))
    plain.print(f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed")
    for sign, columns in {"+": found.columns_added, "-": found.columns_removed, "~": found.columns_changed}.items():
        for column in columns:
            plain.print(f"{sign} column {column}")
    lines = [f"+ {each}" for each in found.added] + [f"- {each}" for each in found.removed]
    lines += [f"~ {each}: {', '.join(columns)}" for each, columns in found.changed.items()]
    for line in lines[:names]:
        plain.print(line)
    if len(lines) > names:
        plain.print(f"… {len(lines) - names} more; --names {len(lines)} names all")


@app.command()
def checkout(version: Version, folder: Annotated[Path, typer.Argument(help="A new or empty folder.")]) -> None:
    """Write a version as files, named by their source, and the rest into metadata.jsonl."""
    store = _store()
    found = store.resolve(version)
    count = store.checkout(found, folder)
    plain.print(f"{count} samples of {_title(found)} in {folder}")


@app.command()
def tag(version: Version, name: Annotated[str, typer.Argument(help="The tag.")]) -> None:
    """Give a version a name; a tagged version is never collected."""
    store = _store()
    found = store.resolve(version)
    store.tag(found, name)
    plain.print(f"{_title(found)} is {found.name}:{name}")


@app.command()
def branch(version: Version, name: Annotated[str, typer.Argument(help="The branch.")]) -> None:
    """Begin a branch at a version, without copying."""
    store = _store()
    begun = store.branch(store.resolve(version), name)
    plain.print(f"{_title(begun)} begins at {version}")


@app.command()
def merge(
    source: Annotated[str, typer.Argument(help="The branch, for example news@relabelled.")],
    target: Annotated[str, typer.Argument(help="The line it goes into, for example news.")],
    reason: Annotated[str, typer.Option(help="Kept with the version.")] = "",
) -> None:
    """Bring a branch's changes into another line; when both changed a sample, say which and change nothing."""
    done = _store().merge(source, target, {"reason": reason} if reason else {})
    if done.version is None:
        for conflict in done.conflicts[:SHOWN]:
            plain.print(f"! {conflict.sample_id}: {conflict.source} in {source}, {conflict.target} in {target}")
        raise DataRejected(
            f"{len(done.conflicts)} samples were changed in both {source} and {target}.",
            hint="Make them the same in both, then merge again.",
        )
    plain.print(f"{_title(done.version)}: {_counts(done.change)}")


@app.command()
def forget(
    name: Annotated[str, typer.Argument(help="DATASET.")],
    samples: Annotated[list[str], typer.Argument(help="Sample ids.")],
    reason: Annotated[str, typer.Option(help="On whose request, or by which rule; kept for good.")],
    who: Annotated[str, typer.Option(help="Who asks for it; by default who runs this.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete samples for privacy: their bytes, from every version and every copy; this cannot be undone."""
    from airlock.stores.layers import open_sealed

    if not yes:
        typer.confirm(f"Delete {len(samples)} samples from every version of {name}, for good?", abort=True)
    open_sealed(settings())  # without it copies of raw samples would stay unseen
    stones = _store().forget(name, samples, reason, who)
    for stone in stones:
        plain.print(
            f"forgotten: {stone.sample[:12]}, which was in {', '.join(stone.versions) or 'no version any more'}"
        )
    _forget_copies(sorted({version for stone in stones for version in stone.versions}))


def _forget_copies(versions: list[str]) -> None:
    """Remove what other steps wrote of these versions' samples, and name the models that learned from them."""
    from airlock.lineage.copies import copies_of, remove
    from airlock.lineage.graph import described
    from airlock.lineage.lookup import Lookup
    from airlock.stores.database import open_database
    from airlock.stores.layers import open_layers

    store = _store()
    found = copies_of(Lookup(open_database(settings().database)), [store.resolve(version) for version in versions])
    for node in remove(open_layers(settings()), found.artifacts):
        plain.print(f"removed a copy: {described(node)}")
    for node in found.learned:
        plain.print(f"learned from it, and is still there: {described(node)}")


@app.command()
def gc(
    name: Annotated[str, typer.Argument(help="DATASET.")],
    older_than: Annotated[str, typer.Option(help="Only versions at least this old, for example 30d or 12h.")] = "30d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove versions that no manifest, ledger record, label, tag or branch refers to."""
    from airlock.governance.retention import kept_digests

    done = _store().collect_garbage(name, kept_digests(settings()), _seconds(older_than), dry=dry_run)
    for version in done.removed:
        plain.print(f"{'would remove' if dry_run else 'removed'} {_title(version)}")
    plain.print(f"{len(done.removed)} versions, {done.bytes:,} bytes; {len(done.kept)} older versions stay")


def _seconds(text: str) -> float:
    if not (found := re.fullmatch(r"(\d+)([smhd])", text.strip())):
        raise UserError(f"{text!r} is no duration.", hint="Write it like 30d, 12h, 15m or 0s.")
    return float(found[1]) * UNITS[found[2]]


def _columns(store: DatasetStore, version: DatasetVersion) -> list[str]:
    return [field.name for field in store.open(version).schema if not field.name.startswith("airlock_")]


def _counts(change: Change) -> str:
    counts = [f"{count} {name}" for name, count in msgspec.structs.asdict(change).items() if count]
    return ", ".join(counts) or "nothing changed"


def _title(version: DatasetVersion) -> str:
    return f"{version.name}:{version.version} ({short(version.digest)})"


def _store() -> DatasetStore:
    return open_datasets(settings().datasets)
