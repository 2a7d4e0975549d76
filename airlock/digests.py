"""Content digests and the one canonical form of a JSON document."""

import hashlib
import json
from pathlib import Path
from typing import Any

PREFIX = "sha256:"
CHUNK = 1 << 20


def canonical(document: Any) -> bytes:
    """Encode a JSON-compatible document so that equal documents have equal bytes.

    Keys sorted, no blanks, UTF-8, no NaN (a subset of RFC 8785: numbers are Python's shortest form).
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest_bytes(data: bytes) -> str:
    """Return ``sha256:<64 hex digits>`` of the bytes."""
    return PREFIX + hashlib.sha256(data).hexdigest()


def digest_document(document: Any) -> str:
    """Return the digest of a document's canonical form."""
    return digest_bytes(canonical(document))


def digest_file(path: Path) -> str:
    """Return the digest of a file, read in 1 MiB chunks."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha.update(chunk)
    return PREFIX + sha.hexdigest()


def short(digest: str) -> str:
    """Return the 12 hex digits people read."""
    return digest.removeprefix(PREFIX)[:12]
