"""Verification of the ledger: an unbroken chain of unaltered records, signed where they must be."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from airlock.errors import IntegrityError
from airlock.governance.signing import verify_signature
from airlock.stores.ledger import KINDS, Record

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HINT = "The database was changed behind Airlock's back: restore a backup, and trust no record from this one on."


def verify_ledger(records: Iterable[Record], keys: "dict[str, Ed25519PublicKey]") -> int:
    """Check every record, oldest first; return how many there are.

    :param keys: public keys by id.
    :raises IntegrityError: names the first record that is missing, altered or not validly signed.
    """
    count, previous = 0, ""
    for record in records:
        count += 1
        try:
            _check(record, count, previous)
            _check_signature(record, keys)
        except IntegrityError as error:
            raise IntegrityError(f"Ledger record {record.seq} ({record.kind}): {error}", hint=HINT) from error
        previous = record.hash
    return count


def _check(record: Record, position: int, previous: str) -> None:
    if record.seq != position:
        raise IntegrityError(f"It stands where record {position} should be.")
    if record.previous != previous:
        raise IntegrityError("It does not follow the record before it.")
    if record.digest() != record.hash:
        raise IntegrityError("It was altered: its content does not match its hash.")
    if record.kind not in KINDS:
        raise IntegrityError("It is of no known kind.")


def _check_signature(record: Record, keys: "dict[str, Ed25519PublicKey]") -> None:
    if record.key_id or record.signature:
        verify_signature(keys, record.key_id, record.signature, record.hash.encode())
    elif record.kind == "decision":
        raise IntegrityError("It is a decision that nobody signed.")
