"""Gate requests are ledger records that say what is asked, once; answers written ahead survive a crash."""

import time
from typing import Any

import msgspec
import psycopg2
import pytest
from msgspec.structs import replace

from airlock.digests import PREFIX, digest_document
from airlock.errors import UserError
from airlock.governance.book import Book
from airlock.governance.decisions import Verdict, closing_body
from airlock.governance.signing import create_keypair, load_signer
from airlock.stores.database import Database
from airlock.stores.gates import GateRequest, GateRequests, finish_answer
from airlock.stores.ledger import Ledger


@pytest.fixture
def asked() -> GateRequest:
    return GateRequest(
        use_case="digits",
        gate="data",
        dag="digits_data",
        run="manual__1",
        task="data_gate",
        manifest="sha256:m",
        evidence="sha256:e",
        policy="sha256:p",
        created=time.time(),
    )


@pytest.fixture
def gates(database: Database) -> GateRequests:
    return GateRequests(database)


@pytest.fixture
def guards(guard_database: Database) -> GateRequests:
    """Give the same requests as the API server sees them."""
    return GateRequests(guard_database)


class TestARequest:
    def test_is_named_by_the_digest_of_everything_in_it(self, asked: GateRequest) -> None:
        assert PREFIX + asked.id == digest_document(msgspec.to_builtins(asked))
        other = {"use_case": "x", "gate": "x", "dag": "x", "run": "x", "task": "x", "map_index": 1, "attempt": 1}
        other |= {"manifest": "x", "champion": "x", "evidence": "x", "policy": "x", "created": 1.0}
        assert other.keys() == set(GateRequest.__struct_fields__)
        ids = {replace(asked, **{name: value}).id for name, value in other.items()}
        assert len(ids | {asked.id}) == len(other) + 1

    def test_is_filed_once_and_reads_back_as_it_was(self, gates: GateRequests, asked: GateRequest) -> None:
        assert gates.open(asked) == asked
        again = replace(asked, created=asked.created + 1, champion="sha256:c", evidence="sha256:f")
        assert gates.open(again) == asked
        assert gates.filed(again) == asked
        assert (gates.get(asked.id), gates.pending(), gates.state(asked.id)) == (asked, [asked], "open")

    @pytest.mark.parametrize("change", [{"attempt": 1}, {"manifest": "sha256:n"}, {"policy": "sha256:q"}])
    def test_that_differs_in_what_is_asked_is_asked_anew(
        self, gates: GateRequests, asked: GateRequest, change: dict[str, Any]
    ) -> None:
        gates.open(asked)
        anew = replace(asked, **change)
        assert gates.filed(anew) is None
        assert gates.open(anew) == anew
        assert gates.pending() == [asked, anew]

    def test_is_found_by_its_task_the_newest_first(self, gates: GateRequests, asked: GateRequest) -> None:
        cleared, mapped = replace(asked, attempt=1), replace(asked, map_index=3)
        for request in (asked, cleared, mapped):
            gates.open(request)
        assert gates.find("digits_data", "manual__1", "data_gate") == cleared
        assert gates.find("digits_data", "manual__1", "data_gate", 3) == mapped
        assert gates.find("digits_data", "manual__2", "data_gate") is None
        assert gates.of_run("digits_data", "manual__1") == [asked, cleared, mapped]

    def test_that_was_never_filed_is_named(self, gates: GateRequests) -> None:
        with pytest.raises(UserError, match="no gate request nowhere"):
            gates.get("nowhere")


class TestTheEndOfARequest:
    @pytest.fixture
    def close(self, guard_database: Database, tmp_path: Any) -> Any:
        """Give ``close(request, verdict)``, as the guard does it."""
        signer = load_signer(path=create_keypair(tmp_path))

        def append(request: GateRequest, verdict: Verdict) -> None:
            Ledger(guard_database).append("closed", closing_body(request, verdict), signer)

        return append

    def test_is_its_first_closing_record(self, gates: GateRequests, asked: GateRequest, close: Any) -> None:
        gates.open(asked)
        close(asked, "rejected")
        close(asked, "approved")
        assert (gates.state(asked.id), gates.pending()) == ("rejected", [])
        assert gates.open(asked) == asked, "a retry finds the closed request and does not ask again"

    def test_leaves_others_open(self, gates: GateRequests, asked: GateRequest, close: Any) -> None:
        other = replace(asked, run="manual__2")
        gates.open(asked)
        gates.open(other)
        close(asked, "withdrawn")
        assert (gates.pending(), gates.state(other.id)) == ([other], "open")

    def test_cannot_be_written_by_a_worker(self, gates: GateRequests, asked: GateRequest) -> None:
        gates.open(asked)
        claim = {"use_case": "digits", "request": asked.id, "verdict": "approved"}
        with pytest.raises(UserError, match="closed must be signed"):
            gates.ledger.append("closed", claim)
        gates.ledger.append("request", claim)
        gates.ledger.append("deployment", claim)
        assert (gates.state(asked.id), gates.pending()) == ("open", [asked])


class TestARequestThatAWorkerMadeUp:
    """Every worker can append a request. Nobody may stumble over one, nor take it for what it is not."""

    def body(self, asked: GateRequest) -> dict[str, Any]:
        return {"request": asked.id} | msgspec.to_builtins(asked)

    @pytest.mark.parametrize(
        "change",
        [
            {"request": "f" * 64},
            {"manifest": "sha256:other"},
            {"manifest": None},
            {"attempt": "0"},
            {"attempt": 10**40},
            {"more": 1},
            {"request": ["deep", {"er": []}]},
        ],
        ids=str,
    )
    def test_is_ignored(self, gates: GateRequests, asked: GateRequest, change: dict[str, Any], tmp_path: Any) -> None:
        gates.ledger.append("request", self.body(asked) | change)
        assert (gates.pending(), gates.filed(asked)) == ([], None)
        assert gates.find(asked.dag, asked.run, asked.task) is None
        assert Book.open(gates.ledger, str(tmp_path)).requests == {}
        assert gates.open(asked) == asked, "the true one can still be filed"
        assert Book.open(gates.ledger, str(tmp_path)).requests == {asked.id: asked}

    @pytest.mark.parametrize("seconds", [-3600, 3600])
    def test_that_says_another_time_than_its_record_is_ignored(
        self, gates: GateRequests, asked: GateRequest, seconds: float
    ) -> None:
        wrong = replace(asked, created=asked.created + seconds)  # older than the minimum age, or never expiring
        gates.ledger.append("request", self.body(wrong))
        assert (gates.pending(), gates.filed(asked)) == ([], None)

    def test_again_is_the_same_request(self, gates: GateRequests, asked: GateRequest, tmp_path: Any) -> None:
        gates.open(asked)
        gates.ledger.append("request", self.body(asked))
        assert gates.get(asked.id) == asked
        assert list(Book.open(gates.ledger, str(tmp_path)).requests) == [asked.id]

    @pytest.mark.parametrize(
        "body",
        ["9" * 5000, "[" * 300 + "]" * 300, '"' + "x" * 70_000 + '"'],
        ids=["a number too long for Python", "too deep", "too long"],
    )
    def test_that_no_reader_could_take_is_refused(self, gates: GateRequests, body: str) -> None:
        text = f'{{"seq":1,"kind":"request","use_case":"d","previous":"","key_id":"","created":{time.time()},'
        text += f'"body":{{"use_case":"d","it":{body}}}}}'
        with pytest.raises(psycopg2.errors.InsufficientPrivilege), gates.database.transaction() as cursor:
            cursor.execute("SELECT airlock.append(%s)", (text,))
        assert gates.ledger.records() == []


class TestAnAnswerWrittenAhead:
    BODY: dict[str, Any] = {"user": "dora", "approved": True, "time": 1.25}

    def test_is_there_until_its_fate_is_known(self, guards: GateRequests, asked: GateRequest) -> None:
        guards.open(asked)
        first, second = guards.prepare(asked.id, self.BODY), guards.prepare(asked.id, {"user": "dan"})
        assert guards.unfinished() == [(first, asked, self.BODY), (second, asked, {"user": "dan"})]
        with guards.database.transaction() as cursor:
            finish_answer(cursor, first, "recorded")
            finish_answer(cursor, second, "void")
        assert guards.unfinished() == []

    def test_keeps_its_first_fate(self, guards: GateRequests, asked: GateRequest, superuser: Database) -> None:
        guards.open(asked)
        number = guards.prepare(asked.id, self.BODY)
        with guards.database.transaction() as cursor:
            finish_answer(cursor, number, "recorded")
            finish_answer(cursor, number, "void")
        with superuser.transaction() as cursor:
            cursor.execute("SELECT state FROM airlock.gate_answer")
            assert cursor.fetchall() == [{"state": "recorded"}]

    def test_becomes_true_with_its_record_or_not_at_all(self, guards: GateRequests, asked: GateRequest) -> None:
        guards.open(asked)
        number = guards.prepare(asked.id, self.BODY)

        def record_unsigned() -> None:
            with guards.ledger.appending() as appender:
                finish_answer(appender.cursor, number, "recorded")
                appender.append("decision", {"use_case": "digits"})

        with pytest.raises(UserError, match="must be signed"):
            record_unsigned()
        assert [at for at, _, _ in guards.unfinished()] == [number]

    def test_is_the_guards_alone(self, gates: GateRequests, asked: GateRequest) -> None:
        gates.open(asked)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            gates.prepare(asked.id, self.BODY)
