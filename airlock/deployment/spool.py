"""Predictions on their way to the scoring store: segments in a folder that a server writes and the reconciler ships.

The server's process runs a use case's code and gets no password, so it cannot write to the database itself. A segment
is MessagePack, written beside its name and renamed: there whole or not at all. See decision 0023.
"""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from airlock.errors import InfrastructureError

SUFFIX = ".segment"
KEY = "key"
RANDOM_BYTES, SEAL_BYTES = 12, 8
MOST_BYTES = 64 << 20  # of one segment that is read


class Predicted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answered row.

    :param time: seconds since the epoch.
    :param input: digest of what the model was given.
    :param outputs: what it said, as a JSON document.
    :param latency: seconds.
    :param status: of the HTTP answer.
    :param payload: the input itself, for the share that is kept; ``media_type`` says what it is.
    """

    id: str
    time: float
    input: str
    outputs: Any = None
    label: str | None = None
    probability: float | None = None
    latency: float
    status: int
    payload: bytes | None = None
    media_type: str = ""


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What turned out to be true of a prediction.

    :param id: of this word; so that it counts once, however often it is shipped.
    :param prediction: id of the prediction.
    """

    id: str
    prediction: str
    truth: Any
    time: float


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """The content of one file."""

    predictions: list[Predicted] = []
    truths: list[Truth] = []


class Spool:
    """A folder of segments of one release of one use case.

    :param folder: ``…/<use case>/<release>``; beside the releases lies the key that prediction ids are sealed with.
    :param most: bytes of segments that may lie there.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = folder
        self.most = most
        folder.mkdir(parents=True, exist_ok=True)
        self._key = _shared_key(folder.parent / KEY)
        self._number = 0

    def new_id(self) -> str:
        """Return an id for a prediction: random, and sealed, so that an id nobody was given is known for one."""
        random = os.urandom(RANDOM_BYTES)
        return random.hex() + self._seal(random)

    def knows(self, prediction: str) -> bool:
        """Was this id, or the row of a batch ``<id>.<row>``, given by a server of this use case?"""
        name, _, row = prediction.partition(".")
        if len(name) != 2 * (RANDOM_BYTES + SEAL_BYTES) or (row and not (row.isascii() and row.isdigit())):
            return False
        try:
            random = bytes.fromhex(name[: 2 * RANDOM_BYTES])
        except ValueError:
            return False
        return secrets.compare_digest(self._seal(random).encode(), name[2 * RANDOM_BYTES :].encode())

    def write(self, segment: Segment) -> bool:
        """Write a segment; return whether there was room for it."""
        data = msgspec.msgpack.encode(segment)
        if self._taken() + len(data) > self.most or len(data) > MOST_BYTES:
            return False
        self._number += 1
        path = self.folder / f"{time.time_ns():020}-{os.getpid()}-{self._number}{SUFFIX}"
        staged = path.with_suffix(".part")
        try:
            staged.write_bytes(data)
            staged.replace(path)
        except OSError:  # the disk is full: the caller counts what is lost
            staged.unlink(missing_ok=True)
            return False
        return True

    def _seal(self, random: bytes) -> str:
        return blake2b(random, key=self._key, digest_size=SEAL_BYTES).hexdigest()

    def _taken(self) -> int:
        return sum(size for _, size in _sizes(self.folder))


def segments(folder: Path) -> list[Path]:
    """Return the segments below a folder, oldest first."""
    return sorted(folder.rglob("*" + SUFFIX), key=lambda path: path.name)


def read_segment(path: Path) -> Segment | None:
    """Read a segment; ``None`` when it is none."""
    if path.stat().st_size > MOST_BYTES:
        return None
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Segment)
    except msgspec.MsgspecError:
        return None


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                yield entry.name, entry.stat().st_size
            except FileNotFoundError:  # shipped meanwhile
                continue


def _shared_key(path: Path) -> bytes:
    """Return the use case's key; whoever comes first makes it."""
    staged = path.with_name(f".{KEY}.{os.getpid()}")
    try:
        if not path.exists():
            staged.touch(mode=0o600)
            staged.write_bytes(secrets.token_bytes(32))
            with suppress(FileExistsError):  # another server was faster: its key holds
                path.hardlink_to(staged)
        return path.read_bytes()
    except OSError as error:
        raise InfrastructureError(
            f"The spool {path.parent} cannot be written: {error.strerror}.", hint="Give --spool a folder of its own."
        ) from error
    finally:
        staged.unlink(missing_ok=True)
