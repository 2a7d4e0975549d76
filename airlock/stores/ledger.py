"""The ledger: an append-only, hash-chained table of decisions, promotions, deployments, rollbacks and voids.

A record's hash covers everything in it but hash and signature, the previous record's hash included; a signature
covers the hash. :mod:`airlock.governance.ledger` verifies; this module only appends and reads.

Known limitation: records cut off at the end leave a shorter chain that still verifies. Whoever can do that (a
database superuser) can take approvals away, not make them.
"""

import json
import time
from typing import Any, Literal, Protocol, get_args

import msgspec

from airlock.digests import canonical, digest_document
from airlock.errors import UserError
from airlock.stores.database import Database, one

Kind = Literal["decision", "promotion", "deployment", "rollback", "void"]
KINDS: tuple[str, ...] = get_args(Kind)
# Appenders queue for this advisory lock, so that the chain never forks.
LOCK = 0x61697232
COLUMNS = "seq, kind, use_case, body, previous, hash, key_id, signature, created"


class SigningKey(Protocol):
    """What signs; :class:`airlock.governance.signing.Signer` is one."""

    @property
    def key_id(self) -> str: ...

    def sign(self, data: bytes) -> str: ...


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger.

    :param seq: position, from 1 without a gap.
    :param body: canonical JSON text of what happened.
    :param previous: hash of the record before; empty for the first.
    :param key_id: name of the key that signed; empty when nobody did.
    :param created: seconds since the epoch.
    """

    seq: int
    kind: str
    use_case: str
    body: str
    previous: str
    hash: str = ""
    key_id: str = ""
    signature: str = ""
    created: float

    @property
    def content(self) -> dict[str, Any]:
        """The body as a document."""
        document: dict[str, Any] = json.loads(self.body)
        return document

    def digest(self) -> str:
        """Return the hash this record should have."""
        covered = msgspec.to_builtins(self)
        return digest_document({name: covered[name] for name in covered if name not in ("hash", "signature")})


class Ledger:
    """The ledger in a database.

    :param database: Airlock's database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def append(self, kind: Kind, body: dict[str, Any], signer: SigningKey | None = None) -> Record:
        """Append a record.

        :param body: what happened; its ``use_case`` also becomes the record's.
        :param signer: signs the record's hash; decisions need one.
        :raises UserError: the kind is unknown, the body names no use case, or a decision is not signed.
        """
        _check(kind, body, signer)
        with self.database.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            cursor.execute("SELECT seq, hash FROM airlock.ledger ORDER BY seq DESC LIMIT 1")
            last = one(cursor) or {"seq": 0, "hash": ""}
            record = _sealed(
                Record(
                    seq=last["seq"] + 1,
                    kind=kind,
                    use_case=body["use_case"],
                    body=canonical(body).decode(),
                    previous=last["hash"],
                    key_id=signer.key_id if signer else "",
                    created=time.time(),
                ),
                signer,
            )
            values = msgspec.structs.asdict(record)
            names = ", ".join(f"%({name})s" for name in COLUMNS.split(", "))
            cursor.execute(f"INSERT INTO airlock.ledger ({COLUMNS}) VALUES ({names})", values)
        return record

    def records(self) -> list[Record]:
        """Return every record, oldest first, as it is stored: nothing is verified here."""
        with self.database.transaction() as cursor:
            cursor.execute(f"SELECT {COLUMNS} FROM airlock.ledger ORDER BY seq")
            return [Record(**row) for row in cursor.fetchall()]


def _check(kind: str, body: dict[str, Any], signer: SigningKey | None) -> None:
    if kind not in KINDS:
        raise UserError(f"{kind!r} is no kind of ledger record.", hint=f"Kinds: {', '.join(KINDS)}.")
    if not isinstance(body.get("use_case"), str):
        raise UserError(f"The body of a {kind} names no use case.", hint="Give it the key 'use_case'.")
    if kind == "decision" and signer is None:
        raise UserError("A decision must be signed.", hint="Pass the signer of the API server.")


def _sealed(record: Record, signer: SigningKey | None) -> Record:
    hashed = msgspec.structs.replace(record, hash=record.digest())
    return msgspec.structs.replace(hashed, signature=signer.sign(hashed.hash.encode())) if signer else hashed
