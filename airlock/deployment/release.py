"""Reads a release manifest from bytes, where there is no artifact store: in a server, in an image."""

from pathlib import Path

import msgspec

from airlock.digests import digest_bytes, short
from airlock.errors import IntegrityError, SourceError
from airlock.governance.manifest import ReleaseManifest


def decode_release(data: bytes, digest: str) -> ReleaseManifest:
    """Parse a release manifest.

    :param digest: what the bytes must hash to.
    :raises IntegrityError: they do not, or they are another kind of document.
    """
    if (found := digest_bytes(data)) != digest:
        raise IntegrityError(
            f"The release manifest hashes to {short(found)}, not to {short(digest)}.", hint="Fetch it again."
        )
    try:
        return msgspec.json.decode(data, type=ReleaseManifest)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"{short(digest)} is not a release manifest: {error}.", hint="Name a release.") from error


def read_release(path: Path, digest: str) -> ReleaseManifest:
    """Read a release manifest from a file; see :func:`decode_release`.

    :raises SourceError: there is no such file.
    """
    try:
        return decode_release(path.read_bytes(), digest)
    except OSError as error:
        raise SourceError(
            f"The release manifest {path} cannot be read: {error.strerror}.", hint="Give --release FILE."
        ) from error
