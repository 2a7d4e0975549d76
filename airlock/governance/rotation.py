"""Key rotation: a new pair signs from now on; what the old one signed until now still verifies, later words do not."""

from pathlib import Path

import msgspec

from airlock.errors import UserError
from airlock.governance.authority import KEY, Authority
from airlock.governance.book import Book
from airlock.governance.signing import (
    create_pair,
    load_signer,
    public_key_text,
    public_keys,
    retire_key,
    retired_keys,
)


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A public key.

    :param text: the raw key, base64.
    :param last: the last record it may have signed; ``None`` while it is in use.
    """

    id: str
    text: str
    last: int | None = None


def keys(folder: str) -> list[Key]:
    """Return the public keys in a folder, those in use first."""
    retired = retired_keys(folder)
    known = [
        Key(id=name, text=public_key_text(key), last=retired.get(name)) for name, key in public_keys(folder).items()
    ]
    return sorted(known, key=lambda key: (key.last is not None, -(key.last or 0), key.id))


def trusted_keys(folder: str) -> dict[str, dict[str, str | int]]:
    """Return the public keys by id in the form that ``verify_export.py`` reads."""
    known: dict[str, dict[str, str | int]] = {}
    for key in keys(folder):
        known[key.id] = {"key": key.text} | ({} if key.last is None else {"last": key.last})
    return known


def rotate(guard: Authority, folder: str) -> Key:
    """Make a new key pair, retire the one in use with the ledger as it is, and remove its private half.

    Nobody appends meanwhile, so a running API server signs its next record with the new key.

    :param folder: with the public keys.
    :raises UserError: the private key is not in a file.
    :raises NotApproved: the ledger does not verify; then nothing is changed.
    """
    if not guard.key_file or guard.key:
        raise UserError(f"A key in {KEY} cannot be replaced from here.", hint="Give the key as a file, or swap both.")
    path = Path(guard.key_file)
    with guard.ledger.appending():
        last, _ = Book.open(guard.ledger, folder).last
        old = guard.signer
        new = create_pair(path.parent, Path(folder))
        retire_key(folder, old.key_id, last)
        _switch(path, old.key_id, new)
    return next(key for key in keys(folder) if key.id == new.stem)


def _switch(path: Path, old: str, new: Path) -> None:
    """Remove the old private key; a link that led to it leads to the new one."""
    if path.is_symlink():
        link = path.with_name(f".{path.name}")
        link.symlink_to(new.name)
        link.replace(path)
    for other in path.parent.glob("*.pem"):
        if not other.is_symlink() and load_signer(path=other).key_id == old:
            other.unlink()
