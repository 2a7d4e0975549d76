"""Sources: where raw samples come from. One file per kind; other packages add theirs by the entry point group
``airlock.sources``."""

from typing import Any, get_args

import msgspec

from airlock.data.sources.csv import Csv
from airlock.data.sources.folder import Folder
from airlock.data.sources.http import Http, Manifest
from airlock.data.sources.idx import Idx
from airlock.data.sources.joined import Joined
from airlock.data.sources.jsonl import Jsonl
from airlock.data.sources.parquet import Parquet
from airlock.data.sources.s3 import S3
from airlock.data.sources.simulator import Simulator
from airlock.data.sources.sklearn import Sklearn
from airlock.data.sources.source import Source
from airlock.data.sources.sql import Sql
from airlock.data.sources.tar import Tar
from airlock.data.sources.zip import Zip
from airlock.errors import UserError

BuiltIn = Folder | Zip | Tar | Http | Manifest | S3 | Sql | Idx | Sklearn | Csv | Parquet | Jsonl | Simulator | Joined
KINDS: tuple[str, ...] = tuple(str(kind.__struct_config__.tag) for kind in get_args(BuiltIn))
GROUP = "airlock.sources"


def parse_source(declaration: dict[str, Any]) -> Source:
    """Make a source from what a use case declares, for example ``{"kind": "folder", "location": "/data/cats"}``.

    :raises UserError: no such kind, or a key that the kind does not have.
    """
    kind = declaration.get("kind")
    wanted: Any = BuiltIn if kind in KINDS else _third_party(str(kind)) or BuiltIn
    try:
        source: Source = msgspec.convert(declaration, wanted)
    except msgspec.ValidationError as error:
        raise UserError(
            f"The source {_shown(declaration)} is not valid: {error}.",
            hint=f"A source has a kind ({', '.join(KINDS)}) and the keys of that kind, a location for most.",
        ) from error
    return source


def _third_party(kind: str) -> type[Source] | None:
    """Return the class that another package declares for a kind: a frozen msgspec struct tagged with it."""
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP, name=kind):
        found: type[Source] = entry.load()
        return found
    return None


def _shown(declaration: dict[str, Any]) -> str:
    """A declaration in a message: with what is there instead of a location that may hold a password."""
    location = str(declaration.get("location", ""))
    safe = location.rpartition("@")[2] if "@" in location else location
    return repr(declaration | ({"location": safe.partition("?")[0]} if location else {}))
