"""A working folder that outlives a killed try: what was downloaded lies there until the samples are safe."""

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

from airlock.digests import PREFIX, digest_document

# Nobody comes back for a download after that long.
KEPT_SECONDS = 24 * 3600
log = logging.getLogger(__name__)


@contextmanager
def spool(home: Path, fallback: Path, source: dict[str, Any]) -> Iterator[Path]:
    """Give the folder of a source; two ingests of the same source take turns.

    It lies on this machine: a try on another one, or in another pod, begins anew.

    :param home: the stack's folder; where it cannot be written, ``fallback`` is the folder.
    :param source: as declared.
    """
    root = home / "spool"
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / f"{_name(source)}.lock").open("w")
    except OSError:
        log.info("%s cannot be written: an ingest that is killed will begin anew.", root)
        yield fallback
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # freed by the kernel however the holder ends
        _sweep(root)
        folder = root / _name(source)
        folder.mkdir(exist_ok=True)
        yield folder


def _name(source: dict[str, Any]) -> str:
    return digest_document(source).removeprefix(PREFIX)[:32]


def _sweep(root: Path) -> None:
    for folder in root.iterdir():
        if folder.is_dir() and _touched(folder) < time.time() - KEPT_SECONDS and _unused(folder):
            rmtree(folder, ignore_errors=True)


def _touched(folder: Path) -> float:
    return max((path.stat().st_mtime for path in [folder, *folder.iterdir()] if path.exists()), default=0.0)


def _unused(folder: Path) -> bool:
    with folder.with_name(f"{folder.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
