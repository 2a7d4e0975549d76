"""Ed25519 signatures (RFC 8032): only the API server holds the private key, anybody verifies with the public ones."""

import base64
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from airlock.digests import digest_bytes, short
from airlock.errors import IntegrityError, UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

RETIRED = "retired.json"


class Signer:
    """Signs with one private key.

    :param private: the key.
    """

    def __init__(self, private: "Ed25519PrivateKey") -> None:
        self.private = private
        self.key_id = key_id(private.public_key())

    def sign(self, data: bytes) -> str:
        """Return the signature, base64."""
        return base64.b64encode(self.private.sign(data)).decode()


def load_signer(pem: str = "", path: str | Path = "") -> Signer:
    """Read a private key.

    :param pem: the key itself, PEM (PKCS #8).
    :param path: file with it, readable by its owner only; used when there is no ``pem``.
    :raises UserError: it cannot be read or is not Ed25519.
    """
    return Signer(_private(pem.encode(), "in the environment") if pem else _private_of(Path(path)))


def current_signer(path: Path, retired: Iterable[str]) -> Signer:
    """Read the private key that is in use: the one in a file or, once that was retired, the newest beside it.

    :raises UserError: there is none, or it cannot be read.
    """
    newest = sorted(path.parent.glob("*.pem"), key=lambda other: other.stat().st_mtime, reverse=True)
    for candidate in [path, *newest] if path.is_file() else newest:
        signer = load_signer(path=candidate)
        if signer.key_id not in retired:
            return signer
    raise UserError(
        f"The signing key {path} cannot be read: it is missing or retired, and no other is beside it.",
        hint="Run `airlock up`, or make one with `airlock key rotate`.",
    )


def key_id(key: "Ed25519PublicKey") -> str:
    """Name of a key pair: 12 hex digits of the public key's digest."""
    return short(digest_bytes(key.public_bytes_raw()))


def public_key_text(key: "Ed25519PublicKey") -> str:
    """The raw public key, base64: what one person tells another."""
    return base64.b64encode(key.public_bytes_raw()).decode()


def verify_signature(keys: dict[str, "Ed25519PublicKey"], name: str, signature: str, data: bytes) -> None:
    """Check a signature.

    :param keys: key id to public key.
    :raises IntegrityError: the key is not known or the signature is not its.
    """
    from cryptography.exceptions import InvalidSignature

    if name not in keys:
        raise IntegrityError(
            f"The signing key {name!r} is not among the public keys.", hint="Check AIRLOCK_PUBLIC_KEYS."
        )
    try:
        raw = base64.b64decode(signature, validate=True)
        if base64.b64encode(raw).decode() != signature:  # base64 has spare bits: other text, same bytes
            raise ValueError("not canonical base64")
        keys[name].verify(raw, data)
    except (InvalidSignature, ValueError) as error:
        raise IntegrityError(f"The signature is not one of key {name}.") from error


def public_keys(folder: str) -> dict[str, "Ed25519PublicKey"]:
    """Read the public keys (``*.pem``) of a folder, by key id.

    :raises IntegrityError: one of the files is no key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        keys = [load_pem_public_key(path.read_bytes()) for path in sorted(Path(folder).glob("*.pem"))]
    except ValueError as error:
        raise IntegrityError(
            f"A file in {folder} is no public key: {error}.", hint="Keep nothing else there under the name *.pem."
        ) from error
    return {key_id(key): key for key in keys if isinstance(key, Ed25519PublicKey)}


def retired_keys(folder: str) -> dict[str, int]:
    """Return key id to the last record it may have signed, for keys that were replaced.

    :raises IntegrityError: the file beside the public keys cannot be read.
    """
    path = Path(folder) / RETIRED
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"{path} lists no keys: {error}.", hint="Restore it from a backup.") from error


def retire_key(folder: str, name: str, last: int) -> None:
    """Write down that a key signs nothing after a record."""
    known = retired_keys(folder)
    _write(Path(folder) / RETIRED, msgspec.json.encode({name: last} | known, order="sorted"), 0o644)


def create_keypair(folder: Path) -> Path:
    """Make a key pair below ``folder/private`` and ``folder/public``; return the private file."""
    return create_pair(folder / "private", folder / "public")


def create_pair(private_folder: Path, public_folder: Path) -> Path:
    """Make a key pair, named after its id in each folder; return the private file."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    name = f"{key_id(private.public_key())}.pem"
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _write(public_folder / name, public, 0o644)
    _write(private_folder / name, pem, 0o600)
    return private_folder / name


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(name).chmod(mode)
    Path(name).replace(path)


def _private_of(path: Path) -> "Ed25519PrivateKey":
    try:
        return _private(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"The signing key {path} cannot be read: {error}.", hint="Run `airlock up`.") from error


def _private(pem: bytes, where: str) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except ValueError as error:
        raise UserError(f"The signing key {where} cannot be read: {error}.", hint="Run `airlock up`.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"The signing key {where} is not Ed25519.", hint="Make one with `airlock up`.")
    return key
