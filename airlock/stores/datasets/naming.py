"""Names of versions: numbers, tags and branches."""

from typing import TYPE_CHECKING

from airlock.errors import UserError
from airlock.references import DatasetVersion
from airlock.stores.datasets.history import version_of
from airlock.stores.tables import BRANCH, NAME, Tables, split

if TYPE_CHECKING:
    import lance


def tag(data: "lance.LanceDataset", version: DatasetVersion, name: str) -> None:
    """Give an opened version a tag; the same again is nothing new."""
    if not NAME.fullmatch(name) or name.isdigit():
        raise UserError(f"{name!r} is no tag.", hint="Use letters, digits, dots, _ and -, not only digits.")
    branch = split(version.name)[1] or None
    there = data.tags.list().get(name)
    if there is None:
        data.tags.create(name, (branch, version.version))
    elif (there["branch"], there["version"]) != (branch, version.version):
        raise UserError(
            f"The tag {name} names version {there['version']} of dataset {version.name}.", hint="Take another tag."
        )


def branch(tables: Tables, data: "lance.LanceDataset", version: DatasetVersion, name: str) -> DatasetVersion:
    """Begin a branch at an opened version."""
    table, on = split(version.name)
    full = f"{table}{BRANCH}{name}"
    tables.path(full)  # the name is checked
    if on:
        raise UserError(f"{version.name} is a branch itself.", hint=f"Begin {full} at a version of {table}.")
    if name == "main" or name in data.branches.list():
        raise UserError(f"There is a branch {full} already.", hint="Take another name.")
    return version_of(full, data.create_branch(name, version.version), version.digest)


def branches(data: "lance.LanceDataset", name: str) -> list[str]:
    """Return the branches of a dataset as ``dataset@branch``, sorted."""
    table = split(name)[0]
    return sorted(f"{table}{BRANCH}{each}" for each in data.branches.list())


def resolve(tables: Tables, text: str) -> DatasetVersion:
    """Return the version behind ``dataset[@branch][:number|:tag]``."""
    name, _, which = text.partition(":")
    data = tables.open(name)
    if data is None:
        raise UserError(f"There is no dataset {name}.", hint="`airlock data list` names them.")
    if not which:
        return version_of(name, data)
    if which.isdigit():
        found = tables.open(name, int(which))
    elif entry := data.tags.list().get(which):
        name = split(name)[0] + (f"{BRANCH}{entry['branch']}" if entry["branch"] else "")
        found = tables.open(name, entry["version"])
    else:
        found = None
    if found is None:
        raise UserError(f"Dataset {name} has no version {which}.", hint=f"`airlock data log {name}` lists them.")
    return version_of(name, found)
