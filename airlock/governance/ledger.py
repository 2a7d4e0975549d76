"""Verification of the ledger: an unbroken chain of unaltered records, signed where they must be, none cut off."""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from airlock.digests import PREFIX
from airlock.errors import IntegrityError
from airlock.governance.anchor import Anchor
from airlock.governance.signatures import Checking, Signed
from airlock.governance.signing import public_key_text
from airlock.stores.ledger import KINDS, SIGNED, Record

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HINT = "The database was changed behind Airlock's back: restore a backup, and trust no record from this one on."
BATCH = 500
AHEAD = 16  # batches whose signatures may be at work, so that memory stays flat


def verify_ledger(
    records: Iterable[Record],
    keys: "Mapping[str, Ed25519PublicKey]",
    anchor: Anchor | None = None,
    retired: Mapping[str, int] | None = None,
) -> int:
    """Check every record, oldest first; return how many there are.

    :param keys: public keys by id.
    :param anchor: the newest signed record the API server left word of; finds records cut off at the end.
    :param retired: key id to the last record that it may have signed.
    :raises IntegrityError: names the first record that is missing, altered or not validly signed.
    """
    return sum(1 for _ in verified(records, keys, anchor, retired=retired))


def verified(
    records: Iterable[Record],
    keys: "Mapping[str, Ed25519PublicKey]",
    anchor: Anchor | None = None,
    after: tuple[int, str] = (0, ""),
    retired: Mapping[str, int] | None = None,
) -> Iterator[Record]:
    """Give the records one by one, each checked; what was cut off is found at the end.

    :param after: position and hash of the record that was verified last.
    :raises IntegrityError: see :func:`verify_ledger`.
    """
    source, chain = iter(records), _Chain(keys, retired or {}, after)
    count, anchored = after[0], anchor is None
    with Checking() as checking:
        ahead: deque[tuple[_Batch, Future[int]]] = deque()
        while True:
            while len(ahead) < AHEAD and (batch := chain.check(list(islice(source, BATCH)))):
                ahead.append((batch, checking.submit(batch.signed)))
            if not ahead:
                break
            for record in _settled(*ahead.popleft()):
                count = record.seq
                anchored = anchored or (anchor is not None and (anchor.seq, anchor.hash) == (count, record.hash))
                yield record
    if not anchored and anchor is not None:
        raise IntegrityError(
            f"The ledger ends with record {count}, but record {anchor.seq} was signed: the end is missing or another.",
            hint=HINT,
        )


class _Batch(msgspec.Struct, kw_only=True):
    """Records in a row, checked but for their signatures.

    :param owners: the records that ``signed`` are of.
    :param broken: what is wrong with the record after the last of them.
    """

    records: list[Record]
    owners: list[Record]
    signed: list[Signed]
    broken: IntegrityError | None = None


class _Chain:
    """Checks everything that takes no cryptography but a hash."""

    def __init__(
        self, keys: "Mapping[str, Ed25519PublicKey]", retired: Mapping[str, int], after: tuple[int, str]
    ) -> None:
        self.keys = {name: public_key_text(key) for name, key in keys.items()}
        self.retired = retired
        self.count, self.previous = after

    def check(self, records: list[Record]) -> _Batch | None:
        """Check the next records up to the first that is wrong; ``None`` when there are none."""
        batch = _Batch(records=[], owners=[], signed=[])
        for record in records:
            try:
                self._follows(record)
                if key := self._key(record):
                    batch.owners.append(record)
                    batch.signed.append((key, record.signature, record.hash))
            except IntegrityError as error:
                batch.broken = _named(record, error)
                break
            batch.records.append(record)
        return batch if records else None

    def _follows(self, record: Record) -> None:
        self.count += 1
        if record.seq != self.count:
            raise IntegrityError(f"It stands where record {self.count} should be.")
        if PREFIX + hashlib.sha256(record.text.encode()).hexdigest() != record.hash:
            raise IntegrityError("It was altered: its content does not match its hash.")
        if record.previous != self.previous:
            raise IntegrityError("It does not follow the record before it.")
        if record.kind not in KINDS:
            raise IntegrityError("It is of no known kind.")
        self.previous = record.hash

    def _key(self, record: Record) -> str:
        if not record.key_id and not record.signature:
            if record.kind in SIGNED:
                raise IntegrityError(f"It is a {record.kind} that nobody signed.")
            return ""
        if record.key_id not in self.keys:
            raise IntegrityError(
                f"The signing key {record.key_id!r} is not among the public keys.", hint="Check AIRLOCK_PUBLIC_KEYS."
            )
        if record.seq > self.retired.get(record.key_id, record.seq):
            raise IntegrityError(f"The signing key {record.key_id} was retired before.")
        return self.keys[record.key_id]


def _settled(batch: _Batch, first_bad: "Future[int]") -> Iterator[Record]:
    bad = first_bad.result()
    if bad >= 0:
        record = batch.owners[bad]
        yield from batch.records[: batch.records.index(record)]
        raise _named(record, IntegrityError(f"The signature is not one of key {record.key_id}."))
    yield from batch.records
    if batch.broken:
        raise batch.broken


def _named(record: Record, error: IntegrityError) -> IntegrityError:
    return IntegrityError(f"Ledger record {record.seq} ({record.kind}): {error}", hint=HINT)
