"""The ledger: an append-only, hash-chained table of policies, requests, decisions and what followed from them.

A record is one canonical JSON text, its hash the sha256 of that text, the previous record's hash included; a
signature covers the hash. PostgreSQL itself appends: the application's role can call a function that checks the
chain and takes only kinds that need no signature, the guard's role one that takes the signed kinds.
:mod:`airlock.governance.ledger` verifies; this module only appends and reads.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, Protocol, get_args

import msgspec

from airlock.digests import canonical, digest_bytes
from airlock.errors import NotApproved, UserError
from airlock.stores.database import Database, one

Signed = Literal["policy", "decision", "closed", "void"]
Unsigned = Literal["request", "promotion", "deployment", "rollout", "rollback", "kept"]
SIGNED: tuple[str, ...] = get_args(Signed)
KINDS: tuple[str, ...] = SIGNED + get_args(Unsigned)
FIELDS = {"seq", "kind", "use_case", "body", "previous", "key_id", "created"}
# Appenders queue for this advisory lock, so that the chain never forks.
LOCK = 0x61697232
BATCH = 5000
MISPLACED = "misplaced"


class SigningKey(Protocol):
    """What signs; :class:`airlock.governance.signing.Signer` is one."""

    @property
    def key_id(self) -> str: ...

    def sign(self, data: bytes) -> str: ...


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger.

    :param seq: position, from 1 without a gap.
    :param body: what happened.
    :param previous: hash of the record before; empty for the first.
    :param key_id: name of the key that signed; empty when nobody did.
    :param created: seconds since the epoch.
    :param text: the canonical JSON of all this, which the hash covers.
    """

    seq: int
    kind: str
    use_case: str
    body: dict[str, Any]
    previous: str
    key_id: str = ""
    created: float
    text: str = ""
    hash: str = ""
    signature: str = ""


class _Covered(msgspec.Struct):
    """What a record's text says."""

    seq: int
    kind: str
    use_case: str
    body: dict[str, Any]
    previous: str
    key_id: str
    created: float


class Ledger:
    """The ledger in a database.

    :param database: Airlock's database; signed kinds need the guard's role.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def append(self, kind: Signed | Unsigned, body: dict[str, Any], signer: SigningKey | None = None) -> Record:
        """Append one record; see :meth:`Appender.append`."""
        with self.appending() as appender:
            return appender.append(kind, body, signer)

    @contextmanager
    def appending(self) -> Iterator["Appender"]:
        """Append several records in one transaction, all or none; nobody else appends meanwhile."""
        with self.database.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            yield Appender(cursor)

    def records(self, after: int = 0) -> list[Record]:
        """Return every record behind a position, oldest first, as it is stored: nothing is verified here."""
        return list(self.read(after))

    def length(self) -> int:
        """Return how many records there are."""
        with self.database.transaction() as cursor:
            cursor.execute("SELECT count(*) AS length FROM airlock.ledger")
            return int(one(cursor)["length"])

    def read(self, after: int = 0) -> Iterator[Record]:
        """Like :meth:`records`, for ledgers that do not fit into memory."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "SELECT seq, record, hash, signature FROM airlock.ledger WHERE seq > %s ORDER BY seq", (after,)
            )
            while rows := cursor.fetchmany(BATCH):
                yield from map(record_from, rows)


class Appender:
    """Appends within one transaction.

    :param cursor: of that transaction; other statements in it become true together with the records.
    """

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor

    def append(self, kind: Signed | Unsigned, body: dict[str, Any], signer: SigningKey | None = None) -> Record:
        """Append a record.

        :param body: what happened; its ``use_case`` also becomes the record's.
        :param signer: signs the record's hash; policies, decisions, closings and voids need one, nothing else has one.
        :raises UserError: the kind is unknown, the body names no use case, or a signature is missing or too many.
        :raises NotApproved: the database role may not append this kind.
        """
        from psycopg2.errors import InsufficientPrivilege

        _check(kind, body, signer)
        record = self._next(kind, body, signer)
        try:
            if signer:
                self.cursor.execute("SELECT airlock.append_signed(%s, %s)", (record.text, record.signature))
            else:
                self.cursor.execute("SELECT airlock.append(%s)", (record.text,))
        except InsufficientPrivilege as error:
            raise NotApproved(
                f"This process may not append a {kind} to the ledger.",
                hint="Only the API server and whoever runs its host may: they have AIRLOCK_GUARD_DATABASE.",
            ) from error
        return record

    def _next(self, kind: str, body: dict[str, Any], signer: SigningKey | None) -> Record:
        self.cursor.execute("SELECT seq, hash FROM airlock.ledger ORDER BY seq DESC LIMIT 1")
        last = one(self.cursor) or {"seq": 0, "hash": ""}
        fields = {
            "seq": last["seq"] + 1,
            "kind": kind,
            "use_case": body["use_case"],
            "body": body,
            "previous": last["hash"],
            "key_id": signer.key_id if signer else "",
            "created": time.time(),
        }
        text = canonical(fields).decode()
        name = digest_bytes(text.encode())
        signature = signer.sign(name.encode()) if signer else ""
        return Record(**fields, text=text, hash=name, signature=signature)


def record_from(row: Mapping[str, Any]) -> Record:
    """Read a record from its row (``seq``, ``record``, ``hash``, ``signature``).

    What stands in the row is taken as it is: a position that differs from the text's is for verification to find.
    """
    text = row["record"]
    try:
        read = DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError):  # a thing that only a more patient reader makes sense of
        return _record_from_any(row)
    return Record(
        seq=row["seq"],
        kind=read.kind if read.seq == row["seq"] else MISPLACED,
        use_case=read.use_case,
        body=read.body,
        previous=read.previous,
        key_id=read.key_id,
        created=read.created,
        text=text,
        hash=row["hash"],
        signature=row["signature"],
    )


def _record_from_any(row: Mapping[str, Any]) -> Record:
    try:
        fields = json.loads(row["record"])
        known = {name: fields.get(name, "") for name in FIELDS}
    except (ValueError, AttributeError, RecursionError):
        known = {"kind": "unreadable", "use_case": "", "body": {}, "previous": "", "key_id": "", "created": 0.0}
    if known.get("seq", row["seq"]) != row["seq"]:
        known["kind"] = MISPLACED
    known["seq"] = row["seq"]
    return Record(**known, text=row["record"], hash=row["hash"], signature=row["signature"])


DECODER = msgspec.json.Decoder(_Covered)


def _check(kind: str, body: dict[str, Any], signer: SigningKey | None) -> None:
    if kind not in KINDS:
        raise UserError(f"{kind!r} is no kind of ledger record.", hint=f"Kinds: {', '.join(KINDS)}.")
    if not isinstance(body.get("use_case"), str):
        raise UserError(f"The body of a {kind} names no use case.", hint="Give it the key 'use_case'.")
    if (kind in SIGNED) != (signer is not None):
        rule = "must be signed" if kind in SIGNED else "is not signed"
        raise UserError(f"A {kind} {rule}.", hint=f"Signed are: {', '.join(SIGNED)}.")
