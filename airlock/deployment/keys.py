"""API keys: a file with their digests; ``python -m airlock.deployment.keys FILE NAME [--days N]`` adds one.

A key is 32 random bytes, so its sha256 gives nothing away and needs no salt. The file is read again when it changes.
"""

import argparse
import os
import secrets
import sys
import time
from pathlib import Path

import msgspec
from starlette.datastructures import Headers

from airlock.digests import digest_bytes
from airlock.errors import NotApproved, UserError

PREFIX = "airlock-"
LOOK_SECONDS = 1.0
OPEN_PATHS = frozenset({"/v2/health/live", "/v2/health/ready"})  # whoever restarts servers has no key


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key.

    :param name: who has it.
    :param digest: sha256 of the key.
    :param expires: seconds since the epoch; ``None`` for never.
    """

    name: str
    digest: str
    expires: float | None = None


class Keys:
    """The keys in a file.

    :raises UserError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Key] = {}
        self._stamp = self._looked = 0.0
        self._read()

    def require(self, headers: Headers) -> str:
        """Return the name of who asks.

        :raises NotApproved: no key, an unknown one, or one that has expired.
        """
        self._look()
        given = headers.get("x-api-key") or _bearer(headers.get("authorization", ""))
        if not given:
            raise NotApproved("This server wants an API key.", hint="Send it as X-API-Key.")
        key = self._known.get(digest_bytes(given.encode()))
        if key is None:
            raise NotApproved("The API key is not known here.", hint="Ask whoever runs this server for one.")
        if key.expires is not None and key.expires <= time.time():
            when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(key.expires))
            raise NotApproved(f"The API key of {key.name} expired on {when}.", hint="Ask for a new one.")
        return key.name

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            try:
                self._read()
            except UserError:
                return  # half written, or gone for a moment: what was known holds until it can be read

    def _read(self) -> None:
        try:
            stamp = self.path.stat().st_mtime
            if stamp != self._stamp:
                self._known = {key.digest: key for key in read_keys(self.path)}
                self._stamp = stamp
        except OSError as error:
            raise UserError(
                f"The API keys {self.path} cannot be read: {error.strerror}.", hint="Correct `keys`."
            ) from error


def read_keys(path: Path) -> list[Key]:
    """Read a file of keys.

    :raises UserError: it is not one.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Key])
    except msgspec.MsgspecError as error:
        raise UserError(f"{path} is not a file of API keys: {error}.", hint="See docs/serving.md.") from error


def add_key(path: Path, name: str, days: float | None = None) -> str:
    """Make a key, note its digest in a file and return it; it is nowhere else."""
    key = PREFIX + secrets.token_urlsafe(32)
    expires = None if days is None else time.time() + days * 86_400
    known = read_keys(path) if path.exists() else []
    new = Key(name=name, digest=digest_bytes(key.encode()), expires=expires)
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_bytes(msgspec.json.format(msgspec.json.encode([*known, new])))
    staged.replace(path)
    return key


def _bearer(header: str) -> str:
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def main() -> int:
    """Add a key and say it once."""
    parser = argparse.ArgumentParser(prog="python -m airlock.deployment.keys", description="Add an API key.")
    parser.add_argument("file", type=Path)
    parser.add_argument("name", help="who gets it")
    parser.add_argument("--days", type=float, help="until it expires; default: never")
    options = parser.parse_args()
    sys.stdout.write(add_key(options.file, options.name, options.days) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
