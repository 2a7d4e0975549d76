"""Gate requests: records of the ledger, found by id or by the task that asks; and answers written ahead.

A request's id is the digest of everything in it, so a signed decision that names the id is bound to manifest,
evidence, policy, task and time.
"""

import time
from typing import Any, Literal

import msgspec

from airlock.digests import PREFIX, canonical, digest_document
from airlock.errors import IntegrityError, UserError
from airlock.stores.database import Database, one
from airlock.stores.ledger import Ledger, Record, record_from

State = Literal["open", "approved", "rejected", "expired", "withdrawn", "superseded"]
CLOCKS = 60.0  # seconds between filling in a request and filing it
PLACE = "record::jsonb #>> '{{body,{}}}' = %s"


class GateRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a gate asks people to decide.

    :param attempt: grows when the task is cleared, which asks anew, and not when it is retried.
    :param manifest: digest of the manifest to decide about.
    :param champion: digest of the manifest it was shown beside; empty when nothing served.
    :param evidence: digest of what people were shown.
    :param policy: digest of the :class:`airlock.governance.policy.GatePolicy`.
    :param created: seconds since the epoch.
    """

    use_case: str
    gate: str
    dag: str
    run: str
    task: str
    map_index: int = -1
    attempt: int = 0
    manifest: str
    champion: str = ""
    evidence: str
    policy: str
    created: float

    @property
    def id(self) -> str:
        """64 hex digits: the digest of the request."""
        return digest_document(msgspec.to_builtins(self)).removeprefix(PREFIX)

    def asks_the_same(self, other: "GateRequest") -> bool:
        """Whether this is the same question, at whatever time and beside whatever champion it was asked."""
        names = ("use_case", "gate", "dag", "run", "task", "map_index", "attempt", "manifest", "policy")
        return all(getattr(self, name) == getattr(other, name) for name in names)


class GateRequests:
    """Gate requests and answers in a database.

    :param database: Airlock's database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ledger = Ledger(database)

    def open(self, request: GateRequest) -> GateRequest:
        """File a request once; return the one that is on file for the same question."""
        with self.ledger.appending() as appender:
            filed = self._select(appender.cursor, _by_place(), place(request))
            if found := [other for other in filed if other.asks_the_same(request)]:
                return found[0]
            appender.append("request", {"request": request.id} | msgspec.to_builtins(request))
        return request

    def get(self, request_id: str) -> GateRequest:
        """Return a request.

        :raises UserError: there is none with this id.
        """
        with self.database.transaction() as cursor:
            found = self._select(cursor, "request = %s", (request_id,))
        if not found:
            raise UserError(f"There is no gate request {request_id[:12]}.", hint="`airlock gate list` shows them.")
        return found[0]

    def find(self, dag: str, run: str, task: str, map_index: int = -1) -> GateRequest | None:
        """Return the newest request of a task, ``None`` when it never filed one."""
        with self.database.transaction() as cursor:
            found = self._select(cursor, _by_place(), (dag, run, task, str(map_index)))
        return found[-1] if found else None

    def filed(self, request: GateRequest) -> GateRequest | None:
        """Return the request on file that asks the same, ``None`` when there is none."""
        with self.database.transaction() as cursor:
            filed = self._select(cursor, _by_place(), place(request))
        return next((other for other in filed if other.asks_the_same(request)), None)

    def of_run(self, dag: str, run: str) -> list[GateRequest]:
        """Return every request of a run, oldest first."""
        with self.database.transaction() as cursor:
            return self._select(cursor, f"{PLACE.format('dag')} AND {PLACE.format('run')}", (dag, run))

    def of_dag(self, dag: str) -> list[GateRequest]:
        """Return every request of a DAG, oldest first."""
        with self.database.transaction() as cursor:
            return self._select(cursor, PLACE.format("dag"), (dag,))

    def pending(self) -> list[GateRequest]:
        """Return the open requests, oldest first."""
        closed = "SELECT FROM airlock.ledger AS closed WHERE closed.kind = 'closed' AND closed.request = asked.request"
        with self.database.transaction() as cursor:
            return self._select(cursor, f"NOT EXISTS ({closed})", ())

    def state(self, request_id: str) -> State:
        """Say whether a request is open, or how it ended. Sinks do not ask here: they verify the ledger."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "SELECT record::jsonb #>> '{body,verdict}' AS verdict FROM airlock.ledger"
                " WHERE kind = 'closed' AND request = %s ORDER BY seq LIMIT 1",
                (request_id,),
            )
            row = cursor.fetchone()
        state: State = row["verdict"] if row else "open"
        return state

    def prepare(self, request_id: str, body: dict[str, Any]) -> int:
        """Write an answer ahead of its effect, so that a crash in between leaves a trace; return its number."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO airlock.gate_answer (request, body, state, created) VALUES (%s, %s, 'prepared', %s)"
                " RETURNING id",
                (request_id, canonical(body).decode(), time.time()),
            )
            return int(one(cursor)["id"])

    def unfinished(self) -> list[tuple[int, GateRequest, dict[str, Any]]]:
        """Return (number, request, body) of every answer whose fate is not known, oldest first."""
        with self.database.transaction() as cursor:
            cursor.execute("SELECT id, request, body FROM airlock.gate_answer WHERE state = 'prepared' ORDER BY id")
            rows = cursor.fetchall()
        return [(row["id"], self.get(row["request"]), row["body"]) for row in rows]

    def _select(self, cursor: Any, where: str, values: tuple[Any, ...]) -> list[GateRequest]:
        cursor.execute(
            "SELECT seq, record, hash, signature FROM airlock.ledger AS asked"
            f" WHERE kind = 'request' AND {where} ORDER BY seq",
            values,
        )
        found = (valid_request(record_from(row)) for row in cursor.fetchall())
        return [request for request in found if request is not None]


def finish_answer(cursor: Any, answer_id: int, state: Literal["recorded", "void"]) -> None:
    """Say what became of an answer written ahead, in the transaction that makes it so."""
    cursor.execute("UPDATE airlock.gate_answer SET state = %s WHERE id = %s AND state = 'prepared'", (state, answer_id))


def request_from(record: Record) -> GateRequest:
    """Read a request from its ledger record.

    :raises IntegrityError: it is not what its id says.
    """
    fields = dict(record.body)
    named = fields.pop("request", "")
    try:
        request = msgspec.convert(fields, GateRequest)
    except msgspec.ValidationError as error:
        raise IntegrityError(f"Ledger record {record.seq} is no gate request: {error}.") from error
    if abs(record.created - request.created) > CLOCKS:
        raise IntegrityError(f"Ledger record {record.seq}: the gate request says another time than its record.")
    if request.id != named:
        raise IntegrityError(f"Ledger record {record.seq} is not the gate request {str(named)[:12]} it says it is.")
    return request


def valid_request(record: Record) -> GateRequest | None:
    """Read a request, ``None`` for what is none: every worker can file one, so nobody may stumble over it."""
    try:
        return request_from(record)
    except IntegrityError:
        return None


def place(request: GateRequest) -> tuple[str, str, str, str]:
    """The task that asks."""
    return request.dag, request.run, request.task, str(request.map_index)


def _by_place() -> str:
    return " AND ".join(PLACE.format(name) for name in ("dag", "run", "task", "map_index"))
