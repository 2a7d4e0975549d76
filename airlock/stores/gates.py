"""Gate requests, and the answers that are written ahead of Airflow's own record of them."""

import time
from typing import Any, Literal

import msgspec
from msgspec.structs import asdict

from airlock.digests import canonical
from airlock.errors import UserError
from airlock.stores.database import Database, one

State = Literal["open", "approved", "rejected", "expired", "withdrawn", "superseded"]


class GateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate asks people to decide.

    :param id: chosen by who asks: the same question has the same id.
    :param manifest: digest of the manifest to decide about.
    :param evidence: digest of what people were shown.
    :param policy: the :class:`airlock.governance.policy.GatePolicy` as a document.
    :param submitter: who started the run, who may be barred from deciding.
    :param created: seconds since the epoch.
    """

    id: str
    use_case: str
    gate: str
    dag: str
    run: str
    task: str
    map_index: int = -1
    manifest: str
    evidence: str
    policy: dict[str, Any]
    policy_digest: str
    submitter: str = ""
    state: State = "open"
    created: float


COLUMNS = ", ".join(GateRequest.__struct_fields__)


class GateRequests:
    """Gate requests and answers in a database.

    :param database: Airlock's database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def open(self, request: GateRequest) -> GateRequest:
        """File a request once; return the one that is on file.

        :raises UserError: another question was filed under the same id.
        """
        values = asdict(request) | {"policy": canonical(request.policy).decode()}
        names = ", ".join(f"%({name})s" for name in COLUMNS.split(", "))
        with self.database.transaction() as cursor:
            insert = f"INSERT INTO airlock.gate_request ({COLUMNS}) VALUES ({names}) ON CONFLICT (id) DO NOTHING"
            cursor.execute(insert, values)
        filed = self.get(request.id)
        if (filed.manifest, filed.gate, filed.policy_digest) != (request.manifest, request.gate, request.policy_digest):
            raise UserError(
                f"Gate request {request.id} is on file about another manifest, gate or policy.",
                hint="Make the id from the manifest and the policy too.",
            )
        return filed

    def get(self, request_id: str) -> GateRequest:
        """Return a request.

        :raises UserError: there is none with this id.
        """
        found = self._select("id = %s", (request_id,))
        if not found:
            raise UserError(f"There is no gate request {request_id}.")
        return found[0]

    def find(self, dag: str, run: str, task: str, map_index: int = -1) -> GateRequest | None:
        """Return the newest request of a task, ``None`` when it never filed one."""
        found = self._select("dag = %s AND run = %s AND task = %s AND map_index = %s", (dag, run, task, map_index))
        return found[-1] if found else None

    def pending(self) -> list[GateRequest]:
        """Return the open requests, oldest first."""
        return self._select("state = 'open'", ())

    def close(self, request_id: str, state: State) -> bool:
        """Close an open request; return whether this call did it."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "UPDATE airlock.gate_request SET state = %s WHERE id = %s AND state = 'open'", (state, request_id)
            )
            return cursor.rowcount == 1

    def prepare(self, request_id: str, body: dict[str, Any]) -> int:
        """Write an answer ahead of its effect, so that a crash in between leaves a trace; return its number."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO airlock.gate_answer (request, body, state, created) VALUES (%s, %s, 'prepared', %s)"
                " RETURNING id",
                (request_id, canonical(body).decode(), time.time()),
            )
            return int(one(cursor)["id"])

    def finish(self, answer_id: int, state: Literal["recorded", "void"]) -> None:
        """Say what became of an answer written ahead."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "UPDATE airlock.gate_answer SET state = %s WHERE id = %s AND state = 'prepared'", (state, answer_id)
            )

    def unfinished(self) -> list[tuple[int, GateRequest, dict[str, Any]]]:
        """Return (number, request, body) of every answer whose fate is not known, oldest first."""
        with self.database.transaction() as cursor:
            cursor.execute("SELECT id, request, body FROM airlock.gate_answer WHERE state = 'prepared' ORDER BY id")
            rows = cursor.fetchall()
        return [(row["id"], self.get(row["request"]), row["body"]) for row in rows]

    def _select(self, where: str, values: tuple[Any, ...]) -> list[GateRequest]:
        with self.database.transaction() as cursor:
            cursor.execute(f"SELECT {COLUMNS} FROM airlock.gate_request WHERE {where} ORDER BY number", values)
            return [GateRequest(**row) for row in cursor.fetchall()]
