"""Paths that sources point at."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from airlock.digests import digest_document
from airlock.errors import SourceError

# Left behind by file managers and archivers; never samples.
CLUTTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}


def is_clutter(parts: Iterable[str]) -> bool:
    """Say whether a relative path is hidden or left behind by a file manager."""
    return any(part.startswith(".") or part in CLUTTER for part in parts)


def existing(location: str, *, folder: bool) -> Path:
    """Return a location as a path.

    :raises SourceError: nothing is there, or a file where a folder should be or the other way round.
    """
    path = Path(location).expanduser()
    what = "folder" if folder else "file"
    if not path.exists():
        raise SourceError(
            f"The source's {what} {location} does not exist.",
            hint="Correct the location; a relative path is looked up from the worker's current folder.",
        )
    if path.is_dir() != folder:
        raise SourceError(f"The source's location {location} is not a {what}.", hint=f"Name a {what}.")
    return path


def fingerprint(paths: Iterable[Path], root: Path) -> str:
    """Return a digest over names, sizes and modification times."""
    found = ((path.relative_to(root).as_posix(), path.stat()) for path in paths)
    return digest_document([[name, stat.st_size, stat.st_mtime_ns] for name, stat in found])


def label_of(parts: Sequence[str]) -> str | None:
    """Return the class of a file: the first folder of its relative path, ``None`` outside any folder."""
    return parts[0] if len(parts) > 1 else None
