"""What is kept with every version: its digest, what it changed, who made it, when and by which process."""

import getpass
import json
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.digests import canonical, short
from airlock.errors import IntegrityError
from airlock.references import DatasetVersion
from airlock.stores.rows import PIECE, ROW, SIZE, fixed, streamed_digest

if TYPE_CHECKING:
    import lance
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

DIGEST, PROCESS, MADE = "airlock.digest", "airlock.process", "airlock.made"
HINT = "Run the version step again with cache=False."


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a version changed, in samples.

    :param forgotten: samples that were left out because they had been deleted for privacy.
    """

    added: int = 0
    changed: int = 0
    removed: int = 0
    forgotten: int = 0


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """How a version came to be.

    :param kind: ``commit``, ``append``, ``merge`` or ``forget``.
    :param batch: digest of the batch that was appended.
    """

    kind: str
    who: str
    environment: dict[str, str] = {}
    change: Change = Change()
    batch: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a dataset's history.

    :param created: seconds since the epoch.
    """

    version: DatasetVersion
    created: float
    made: Made
    process: dict[str, Any] = {}
    tags: list[str] = []


def user() -> str:
    """Return who runs this process: ``AIRLOCK_USER``, or the operating system's name."""
    if name := os.environ.get("AIRLOCK_USER"):
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def environment() -> dict[str, str]:
    """Return the versions of what wrote the files."""
    import platform

    import lance
    import pyarrow as pa

    return {"python": platform.python_version(), "pyarrow": pa.__version__, "pylance": lance.__version__}


def properties(digest: str, process: dict[str, Any], made: Made) -> dict[str, str]:
    """Return what is written into a version's transaction."""
    return {DIGEST: digest, PROCESS: canonical(process).decode(), MADE: msgspec.json.encode(made).decode()}


def recorded(data: "lance.LanceDataset") -> dict[str, str]:
    """Return what was written into an opened version's transaction; nothing when others than Airlock made it."""
    transaction = data.read_transaction(data.version)
    return dict(transaction.transaction_properties or {}) if transaction else {}


def process_of(data: "lance.LanceDataset") -> dict[str, Any]:
    """Return what the maker of an opened version said made it."""
    found: dict[str, Any] = json.loads(recorded(data).get(PROCESS, "{}"))
    return found


def made(data: "lance.LanceDataset") -> Made:
    """Return how an opened version came to be."""
    return msgspec.json.decode(recorded(data).get(MADE, '{"kind":"commit","who":""}'), type=Made)


def digest_of(data: "lance.LanceDataset") -> str:
    """Return an opened version's digest: the one it was written with, or that of its rows."""
    return recorded(data).get(DIGEST) or computed(data)


def computed(data: "lance.LanceDataset") -> str:
    """Return the digest that an opened version's row digests add up to; no content is read."""
    if ROW not in data.schema.names:
        raise IntegrityError(
            f"The table {data.uri} was not written by Airlock: its rows have no digests.",
            hint="Ingest it, for example from Parquet.",
        )
    return streamed_digest(own(data.schema), data.count_rows(), lambda: row_column(data))


def row_column(data: "lance.LanceDataset") -> "Iterator[NDArray[np.bytes_]]":
    """Yield the row digests of an opened version, a piece at a time."""
    pieces = data.to_batches(columns=[ROW], batch_size=PIECE, batch_readahead=1, fragment_readahead=1)
    return (fixed(batch.column(ROW), SIZE) for batch in pieces)


def own(schema: "pa.Schema") -> list[str]:
    """Return the columns that are the dataset's, not Airlock's."""
    return [name for name in schema.names if name != ROW]


def version_of(name: str, data: "lance.LanceDataset", digest: str = "") -> DatasetVersion:
    """Return the reference to an opened version."""
    return DatasetVersion(name=name, version=data.version, digest=digest or digest_of(data), rows=data.count_rows())


def title(version: DatasetVersion) -> str:
    """Name a version in a message."""
    return f"dataset {version.name} version {version.version} ({short(version.digest)})"


def log(name: str, latest: "lance.LanceDataset", opened: "Iterable[lance.LanceDataset]") -> list[Entry]:
    """Return what is known about opened versions, newest first."""
    tags, moments = tags_of(latest, name), created(latest)
    entries = [
        Entry(
            version=version_of(name, data),
            created=moments[data.version],
            made=made(data),
            process=process_of(data),
            tags=tags.get(data.version, []),
        )
        for data in opened
    ]
    return entries[::-1]


def tags_of(data: "lance.LanceDataset", name: str) -> dict[int, list[str]]:
    """Return the tags of a dataset's or branch's versions, by number."""
    branch = name.partition("@")[2] or None
    found: dict[int, list[str]] = {}
    for tag, entry in sorted(data.tags.list().items()):
        if entry["branch"] == branch:
            found.setdefault(entry["version"], []).append(tag)
    return found


def created(latest: "lance.LanceDataset") -> dict[int, float]:
    """Return when each version of a line was made, in seconds since the epoch: all at once, as Lance reads them all."""
    return {entry["version"]: entry["timestamp"].timestamp() for entry in latest.versions()}
