"""A version as files in a folder."""

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import UserError
from airlock.stores.artifacts import safe_relative
from airlock.stores.datasets.writing import KEY
from airlock.stores.objects import storage_error

if TYPE_CHECKING:
    import pyarrow as pa

CONTENT, SOURCE, STREAM, METADATA = "content", "source", "stream_", "metadata.jsonl"


def checkout(batches: "Iterable[pa.RecordBatch]", folder: Path) -> int:
    """Write samples into an empty folder; return how many.

    A file is named by its sample's source, and gets the beginning of the sample id when that name is taken; a stream
    lies beside it with its name before the suffix. What is no content is a line of ``metadata.jsonl``.

    :raises UserError: the folder holds something, or a source climbs out of it.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty.", hint="Check out into a new folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / METADATA).open("wb") as lines:
            count = 0
            for row in _rows(batches):
                lines.write(msgspec.json.encode(_written(folder, row)) + b"\n")
                count += 1
            return count
    except OSError as error:
        if isinstance(error, UserError):
            raise
        raise storage_error(error, folder) from error


def _rows(batches: "Iterable[pa.RecordBatch]") -> Iterator[dict[str, Any]]:
    for batch in batches:
        yield from batch.to_pylist()


def _written(folder: Path, row: dict[str, Any]) -> dict[str, Any]:
    """Write a sample's contents; return its metadata, with the files' names."""
    name = safe_relative(str(row.get(SOURCE) or row[KEY]))
    if name == METADATA or (folder / name).exists():
        path = PurePosixPath(name)
        name = str(path.with_name(f"{path.stem}.{str(row[KEY])[:12]}{path.suffix}"))
    contents = {column: value for column, value in row.items() if _is_content(column) and value is not None}
    files = {}
    for column, value in contents.items():
        stream = column.removeprefix(STREAM) if column != CONTENT else ""
        path = PurePosixPath(name)
        own = str(path.with_name(f"{path.stem}.{stream}{path.suffix}")) if stream else name
        (folder / own).parent.mkdir(parents=True, exist_ok=True)
        (folder / own).write_bytes(value)
        files[stream or CONTENT] = own
    rest = {column: _plain(value) for column, value in row.items() if not _is_content(column)}
    return {"files": files} | rest


def _is_content(column: str) -> bool:
    return column == CONTENT or column.startswith(STREAM)


def _plain(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
