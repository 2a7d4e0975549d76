"""Verification of the ledger: an unbroken chain of unaltered records, signed where they must be, none cut off."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from airlock.digests import PREFIX
from airlock.errors import IntegrityError
from airlock.governance.anchor import Anchor
from airlock.governance.signing import verify_signature
from airlock.stores.ledger import KINDS, SIGNED, Record

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HINT = "The database was changed behind Airlock's back: restore a backup, and trust no record from this one on."


def verify_ledger(records: Iterable[Record], keys: "dict[str, Ed25519PublicKey]", anchor: Anchor | None = None) -> int:
    """Check every record, oldest first; return how many there are.

    :param keys: public keys by id.
    :param anchor: the newest signed record the API server left word of; finds records cut off at the end.
    :raises IntegrityError: names the first record that is missing, altered or not validly signed.
    """
    return sum(1 for _ in verified(records, keys, anchor))


def verified(
    records: Iterable[Record],
    keys: "dict[str, Ed25519PublicKey]",
    anchor: Anchor | None = None,
    after: tuple[int, str] = (0, ""),
) -> Iterator[Record]:
    """Give the records one by one, each checked; what was cut off is found at the end.

    :param after: position and hash of the record that was verified last.
    :raises IntegrityError: see :func:`verify_ledger`.
    """
    (count, previous), anchored = after, anchor is None
    for record in records:
        count += 1
        try:
            _check(record, count, previous)
            _check_signature(record, keys)
        except IntegrityError as error:
            raise IntegrityError(f"Ledger record {record.seq} ({record.kind}): {error}", hint=HINT) from error
        anchored = anchored or (anchor is not None and (anchor.seq, anchor.hash) == (count, record.hash))
        previous = record.hash
        yield record
    if not anchored and anchor is not None:
        raise IntegrityError(
            f"The ledger ends with record {count}, but record {anchor.seq} was signed: the end is missing or another.",
            hint=HINT,
        )


def _check(record: Record, position: int, previous: str) -> None:
    if record.seq != position:
        raise IntegrityError(f"It stands where record {position} should be.")
    if PREFIX + hashlib.sha256(record.text.encode()).hexdigest() != record.hash:
        raise IntegrityError("It was altered: its content does not match its hash.")
    if record.previous != previous:
        raise IntegrityError("It does not follow the record before it.")
    if record.kind not in KINDS:
        raise IntegrityError("It is of no known kind.")


def _check_signature(record: Record, keys: "dict[str, Ed25519PublicKey]") -> None:
    if record.key_id or record.signature:
        verify_signature(keys, record.key_id, record.signature, record.hash.encode())
    elif record.kind in SIGNED:
        raise IntegrityError(f"It is a {record.kind} that nobody signed.")
