"""Checking many signatures: the first thousands here, further ones by processes that do nothing else.

``python -m airlock.governance.signatures`` reads JSON lines with lists of (public key, signature, data) and answers
each with the position of the first signature that does not hold, or -1.
"""

import base64
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from queue import SimpleQueue
from threading import Semaphore
from typing import TYPE_CHECKING

import msgspec

from airlock.errors import InfrastructureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Signed = tuple[str, str, str]
ALONE = 4000  # signatures that are checked faster here than a process starts
MOST = 8


class Checking:
    """Checks lists of signatures, several at a time.

    :param helpers: processes to start once there is enough to do.
    """

    def __init__(self, helpers: int | None = None) -> None:
        self.helpers = min(MOST, (os.cpu_count() or 1) - 1) if helpers is None else helpers
        self._seen = 0
        self._idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        self._room = Semaphore(2 * self.helpers)  # one list at work, one on its way
        self._pool: ThreadPoolExecutor | None = None
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> "Checking":
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self._started:
            process.kill()
        if self._pool:
            self._pool.shutdown()
        for process in self._started:
            process.communicate()

    def submit(self, signed: Sequence[Signed]) -> "Future[int]":
        """Begin to check signatures; the result is the position of the first that does not hold, or -1."""
        self._seen += len(signed)
        if signed and self._seen > ALONE and self.helpers:
            self._start()
        if signed and self._pool and self._room.acquire(blocking=False):
            return self._pool.submit(self._elsewhere, signed)
        done: Future[int] = Future()
        done.set_result(first_bad(signed))
        return done

    def _start(self) -> None:
        if self._pool is None:
            self._started = [_helper() for _ in range(self.helpers)]
            for process in self._started:
                self._idle.put(process)
            self._pool = ThreadPoolExecutor(self.helpers, thread_name_prefix="signatures")

    def _elsewhere(self, signed: Sequence[Signed]) -> int:
        process = self._idle.get()
        try:
            return _ask(process, signed)
        finally:
            self._idle.put(process)
            self._room.release()


def first_bad(signed: Iterable[Signed]) -> int:
    """Return the position of the first signature that does not hold, -1 if all do."""
    return next((place for place, each in enumerate(signed) if not holds(*each)), -1)


def holds(key: str, signature: str, data: str) -> bool:
    """Say whether a signature is a key's and about this data.

    :param key: the raw public key, base64; likewise the signature.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        raw = base64.b64decode(signature, validate=True)
        _public_key(key).verify(raw, data.encode())
    except (InvalidSignature, ValueError):
        return False
    return base64.b64encode(raw).decode() == signature  # base64 has spare bits: other text, same bytes


@lru_cache(maxsize=256)
def _public_key(key: str) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(base64.b64decode(key))


def _helper() -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "airlock.governance.signatures"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(process: "subprocess.Popen[str]", signed: Sequence[Signed]) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(msgspec.json.encode(signed).decode() + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())
    except (OSError, ValueError) as error:
        raise InfrastructureError(
            "A process that checks signatures went away.", hint="Is there memory left? Try again."
        ) from error


def main() -> None:
    """Answer lists of signatures until there are no more."""
    for line in sys.stdin:
        bad = first_bad(msgspec.json.decode(line, type=list[Signed]))
        sys.stdout.write(f"{bad}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
