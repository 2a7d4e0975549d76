"""Gate requests are asked once; answers written ahead survive a crash."""

from typing import Any

import psycopg2
import pytest
from msgspec.structs import replace

from airlock.errors import UserError
from airlock.stores.database import Database
from airlock.stores.gates import GateRequest, GateRequests

REQUEST = GateRequest(
    id="one",
    use_case="digits",
    gate="data",
    dag="digits_data",
    run="manual__1",
    task="data_gate",
    manifest="sha256:m",
    evidence="sha256:e",
    policy={"role": "data_engineer", "rework": {"Clean again": {"dag": "digits_data", "step": "clean"}}},
    policy_digest="sha256:p",
    submitter="dora",
    created=1795244397.25,
)


@pytest.fixture
def gates(database: Database) -> GateRequests:
    return GateRequests(database)


class TestARequest:
    def test_is_filed_once_and_reads_back_as_it_was(self, gates: GateRequests) -> None:
        assert gates.open(REQUEST) == REQUEST
        assert gates.open(replace(REQUEST, created=2.0)) == REQUEST
        assert (gates.get("one"), gates.pending()) == (REQUEST, [REQUEST])

    def test_about_something_else_under_the_same_id_is_refused(self, gates: GateRequests) -> None:
        gates.open(REQUEST)
        with pytest.raises(UserError, match="on file about another manifest"):
            gates.open(replace(REQUEST, manifest="sha256:other"))

    def test_is_found_by_its_task_the_newest_first(self, gates: GateRequests) -> None:
        gates.open(REQUEST)
        gates.open(replace(REQUEST, id="two", manifest="sha256:n"))
        gates.open(replace(REQUEST, id="mapped", map_index=3))
        found = gates.find("digits_data", "manual__1", "data_gate")
        assert found is not None
        assert found.id == "two"
        assert gates.find("digits_data", "manual__2", "data_gate") is None
        mapped = gates.find("digits_data", "manual__1", "data_gate", 3)
        assert mapped is not None
        assert mapped.id == "mapped"

    def test_is_closed_once(self, gates: GateRequests) -> None:
        gates.open(REQUEST)
        assert gates.close("one", "rejected")
        assert not gates.close("one", "approved")
        assert gates.get("one").state == "rejected"
        assert gates.pending() == []
        assert gates.open(REQUEST).state == "rejected"

    def test_that_was_never_filed_is_named(self, gates: GateRequests) -> None:
        with pytest.raises(UserError, match="no gate request nowhere"):
            gates.get("nowhere")

    @pytest.mark.parametrize("column", ["manifest", "policy", "evidence", "created", "submitter"])
    def test_cannot_be_rewritten_by_the_application_role(self, gates: GateRequests, column: str) -> None:
        gates.open(REQUEST)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege), gates.database.transaction() as cursor:
            cursor.execute(f"UPDATE airlock.gate_request SET {column} = {column}")


class TestAnAnswerWrittenAhead:
    BODY: dict[str, Any] = {"user": "dora", "approved": True, "time": 1.25}

    def test_is_there_until_its_fate_is_known(self, gates: GateRequests) -> None:
        gates.open(REQUEST)
        first, second = gates.prepare("one", self.BODY), gates.prepare("one", {"user": "dan"})
        assert gates.unfinished() == [(first, REQUEST, self.BODY), (second, REQUEST, {"user": "dan"})]
        gates.finish(first, "recorded")
        gates.finish(second, "void")
        assert gates.unfinished() == []

    def test_keeps_its_first_fate(self, gates: GateRequests, superuser: Database) -> None:
        gates.open(REQUEST)
        number = gates.prepare("one", self.BODY)
        gates.finish(number, "recorded")
        gates.finish(number, "void")
        with superuser.transaction() as cursor:
            cursor.execute("SELECT state FROM airlock.gate_answer")
            assert cursor.fetchall() == [{"state": "recorded"}]

    def test_needs_a_request(self, gates: GateRequests) -> None:
        with pytest.raises(psycopg2.errors.ForeignKeyViolation):
            gates.prepare("nowhere", self.BODY)
