"""The anchor: the API server's signed word, beside the public keys, of how long the ledger was.

A chain of hashes proves that nothing in it was altered, not that nothing was cut off its end. Whoever can cut the
table cannot write this file, so a ledger that does not reach it is known to be short.
"""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from airlock.errors import IntegrityError
from airlock.governance.signing import Signer, verify_signature
from airlock.stores.ledger import Record

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

NAME = "anchor.json"


class Anchor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The newest signed record when it was written.

    :param seq: its position.
    :param signature: of ``<seq> <hash>``, base64.
    """

    seq: int
    hash: str
    key_id: str
    signature: str


def write_anchor(folder: str, record: Record, signer: Signer) -> None:
    """Leave word of a signed record; an older one never replaces a newer one."""
    known = _load(Path(folder) / NAME)
    if known is not None and known.seq >= record.seq:
        return
    signature = signer.sign(_covered(record.seq, record.hash))
    anchor = Anchor(seq=record.seq, hash=record.hash, key_id=signer.key_id, signature=signature)
    handle, name = tempfile.mkstemp(dir=folder, prefix=".anchor-")
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.encode(anchor))
    Path(name).chmod(0o644)
    Path(name).replace(Path(folder) / NAME)


def read_anchor(folder: str, keys: "dict[str, Ed25519PublicKey]") -> Anchor | None:
    """Return the anchor, ``None`` before the first signed record.

    :raises IntegrityError: it was altered.
    """
    anchor = _load(Path(folder) / NAME)
    if anchor is not None:
        verify_signature(keys, anchor.key_id, anchor.signature, _covered(anchor.seq, anchor.hash))
    return anchor


def _covered(seq: int, name: str) -> bytes:
    return f"{seq} {name}".encode()


def _load(path: Path) -> Anchor | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Anchor)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"{path} is no anchor of a ledger: {error}.", hint="Restore it from a backup.") from error
