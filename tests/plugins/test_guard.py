"""The guard: only the right role answers a gate, what it lets through is signed, and nothing else is touched."""

import gzip
import json
import time
from typing import Any

import pytest

from airlock import settings as settings_module
from airlock.errors import InfrastructureError
from airlock.governance.authority import DATABASE, KEY_FILE
from airlock.governance.policy import GatePolicy, Rework, Stage
from airlock.stores.ledger import Appender
from tests.governed import Governed
from tests.plugins.conftest import Api, written_ahead

REWORK = {"Clean again": Rework(dag="digits_data", step="clean")}
POLICY = GatePolicy(stages=[Stage(roles=["data_engineer"])], rework=REWORK, minimum_age=0.0)
TWO_STAGES = GatePolicy(
    stages=[Stage(roles=["data_scientist"]), Stage(roles=["data_engineer"])], rework=REWORK, minimum_age=0.0
)
RUN = "/api/v2/dags/digits_data/dagRuns/run"


def signed(governed: Governed) -> list[Any]:
    """What the guard wrote; policies and requests are there before."""
    return [record for record in governed.ledger.records() if record.kind in ("decision", "closed", "void")]


@pytest.fixture
def request_id(api: Api, governed: Governed) -> str:
    return api.ask(governed.file(POLICY)).id


@pytest.mark.usefixtures("request_id")
class TestTheRightRole:
    def test_passes_and_leaves_a_signed_decision_and_the_end_of_the_request(
        self, api: Api, governed: Governed, request_id: str
    ) -> None:
        reply = api.answer(by="dora:data_engineer,data_labeler")
        assert (reply.status_code, reply.json()) == (200, "data_gate -1")
        assert api.reached == [{"chosen_options": ["Approve"], "params_input": {"comment": "Fine."}}]
        book = governed.book()
        ((decision, _),) = book.decisions[request_id]
        assert (decision.user, decision.roles) == ("dora", ["data_engineer", "data_labeler"])
        assert (decision.approved, decision.comment) == (True, "Fine.")
        closing, _ = book.closings[request_id]
        assert (closing.verdict, closing.user) == ("approved", "dora")
        assert written_ahead(governed) == ["recorded"]

    def test_may_reject(self, api: Api, governed: Governed, request_id: str) -> None:
        assert api.answer("Clean again").status_code == 200
        assert [said["approved"] for said in governed.recorded("decision")] == [False]
        assert governed.book().closings[request_id][0].verdict == "rejected"

    @pytest.mark.parametrize("status", [400, 409])
    def test_is_not_on_record_when_airflow_refuses(self, api: Api, governed: Governed, status: int) -> None:
        api.status = status
        assert api.answer().status_code == status
        assert (signed(governed), written_ahead(governed)) == ([], ["void"])

    def test_hears_no_success_before_it_is_on_record(
        self, api: Api, governed: Governed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_arguments: Any, **_named: Any) -> None:
            raise InfrastructureError("gone")

        monkeypatch.setattr(Appender, "append", away)
        assert api.answer().status_code >= 500
        assert written_ahead(governed) == ["prepared"]

    def test_is_left_to_the_next_start_when_the_server_dies(self, api: Api, governed: Governed) -> None:
        api.crashes = True
        assert api.answer().status_code == 500
        assert (signed(governed), written_ahead(governed)) == ([], ["prepared"])

    def test_is_read_by_airflow_as_the_guard_read_it(self, api: Api, governed: Governed) -> None:
        content = '{"chosen_options":["Approve"],"chosen_options":["Clean again"],"params_input":{"comment":"Fine."}}'
        assert api.answer(content=content).status_code == 200
        assert api.reached == [{"chosen_options": ["Clean again"], "params_input": {"comment": "Fine."}}]
        assert [said["option"] for said in governed.recorded("decision")] == ["Clean again"]

    def test_may_send_the_answer_in_small_pieces(self, api: Api, governed: Governed) -> None:
        body = json.dumps({"chosen_options": ["Approve"], "params_input": {}}).encode()
        assert api.answer(content=(bytes([byte]) for byte in body)).status_code == 200
        assert len(governed.recorded("closed")) == 1


class TestTwoStages:
    def test_airflow_hears_of_the_answer_that_ends_it_only(self, api: Api, governed: Governed) -> None:
        asked = api.ask(governed.file(TWO_STAGES))
        first = api.answer(by="sam:data_scientist")
        assert (first.status_code, first.json()["responded_by"]["name"], api.reached) == (200, "sam", [])
        assert governed.book().closings == {}
        assert api.answer(by="dora:data_engineer").json() == "data_gate -1"
        assert governed.book().tally(asked.id).approved

    def test_an_approval_of_somebody_who_lost_the_role_does_not_count(self, api: Api, governed: Governed) -> None:
        asked = api.ask(governed.file(TWO_STAGES))
        api.answer(by="sam:data_scientist")
        api.people["sam"] = ()
        assert "asks for the role data_scientist" in api.answer(by="dora:data_engineer").text
        assert len(governed.recorded("void")) == 1
        assert governed.book().tally(asked.id).stage == 0


@pytest.mark.usefixtures("request_id")
class TestRefused:
    def refused(self, api: Api, governed: Governed, reply: Any, status: int, why: str) -> None:
        assert (reply.status_code, why in reply.json()["detail"]) == (status, True), reply.text
        assert (api.reached, signed(governed), written_ahead(governed)) == ([], [], [])

    @pytest.mark.parametrize("role", ["data_scientist", "Admin", ""])
    def test_another_role_whatever_its_rights(self, api: Api, governed: Governed, role: str) -> None:
        self.refused(api, governed, api.answer(by=f"eve:{role}"), 403, "asks for the role data_engineer")

    def test_nobody(self, api: Api, governed: Governed) -> None:
        self.refused(api, governed, api.answer(by=""), 403, "Nobody is signed in")

    @pytest.mark.parametrize(
        "body",
        [
            {"chosen_options": ["Reject"]},
            {"chosen_options": ["Approve", "Clean again"]},
            {"chosen_options": []},
            {"chosen_options": "Approve"},
            {"params_input": {}},
            [],
        ],
    )
    def test_what_is_no_answer(self, api: Api, governed: Governed, body: Any) -> None:
        self.refused(api, governed, api.answer(body=body), 422, "answer")

    @pytest.mark.parametrize(
        "content", [b"{", gzip.compress(b'{"chosen_options":["Approve"]}'), b"[" * 100_000], ids=["cut", "gzip", "deep"]
    )
    def test_what_is_no_json(self, api: Api, governed: Governed, content: bytes) -> None:
        self.refused(api, governed, api.answer(content=content), 422, "is not JSON")

    @pytest.mark.parametrize("index", ["first", "1.0", "%00", "-1%00"])
    def test_a_map_index_that_airflow_might_read_otherwise(self, api: Api, governed: Governed, index: str) -> None:
        path = f"{RUN}/taskInstances/data_gate/{index}/hitlDetails"
        self.refused(api, governed, api.answer(path=path), 422, "map index")

    def test_an_answer_of_more_than_a_mebibyte(self, api: Api, governed: Governed) -> None:
        self.refused(api, governed, api.answer(comment="x" * (1 << 20)), 422, "larger than 1 MiB")

    @pytest.mark.parametrize(("name", "why"), [(KEY_FILE, "no signing key"), (DATABASE, "not the guard")])
    def test_by_a_server_that_may_not_sign(
        self, api: Api, governed: Governed, monkeypatch: pytest.MonkeyPatch, name: str, why: str
    ) -> None:
        monkeypatch.delenv(name)
        self.refused(api, governed, api.answer(), 403, why)

    def test_without_a_database(self, api: Api, governed: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(DATABASE, "postgresql://nobody@127.0.0.1:9/none")
        self.refused(api, governed, api.answer(), 503, "does not answer")

    @pytest.mark.parametrize(
        "path", ["data%5Fgate/-1/hitlDetails", "data_gate/%2D1/hitlDetails/", "data_gate/-1/hitlDetails/"]
    )
    def test_under_every_spelling_of_the_path(self, api: Api, governed: Governed, path: str) -> None:
        reply = api.answer(by="eve:Admin", path=f"{RUN}/taskInstances/{path}")
        self.refused(api, governed, reply, 403, "asks for the role data_engineer")

    def test_a_question_that_was_altered(self, api: Api, governed: Governed, request_id: str) -> None:
        api.ask(governed.requests.get(request_id), options=["Approve", "Reject"])
        self.refused(api, governed, api.answer(), 403, "is not what request")

    def test_a_question_of_a_gate_that_names_no_request(self, api: Api, governed: Governed, request_id: str) -> None:
        api.ask(governed.requests.get(request_id), body="Shall we?")
        self.refused(api, governed, api.answer(), 403, "names no request")

    def test_a_gate_whose_question_is_not_there_yet(self, api: Api, governed: Governed) -> None:
        api.questions.clear()  # by the time Airflow looks it may be
        self.refused(api, governed, api.answer(), 409, "asks nothing now")

    def test_a_gate_that_is_not_parked(self, api: Api, governed: Governed, request_id: str) -> None:
        api.ask(governed.requests.get(request_id), state="running")
        self.refused(api, governed, api.answer(), 409, "it is running")


@pytest.mark.usefixtures("request_id")
def test_a_policy_that_is_no_longer_in_force_decides_nothing(api: Api, governed: Governed) -> None:
    governed.adopt(GatePolicy.of("model_validator"))
    reply = api.answer()
    assert (reply.status_code, "differs from the one in force" in reply.text) == (403, True)


def test_an_answer_that_comes_too_early_is_asked_to_wait(api: Api, governed: Governed) -> None:
    api.ask(governed.file(GatePolicy.of("data_engineer"), created=time.time()))
    reply = api.answer()
    assert (reply.status_code, "opens for answers in" in reply.text) == (409, True)


def test_the_time_a_gate_takes_to_park_does_not_count(api: Api, governed: Governed) -> None:
    request = governed.file(GatePolicy.of("data_engineer"), created=time.time() - 50)
    api.ask(request, since=time.time())
    reply = api.answer()
    assert (reply.status_code, "opens for answers in" in reply.text) == (409, True)
    api.ask(request, since=time.time() - 4)
    assert api.answer().status_code == 200


def test_a_gate_that_asks_for_a_comment_takes_none_without(api: Api, governed: Governed) -> None:
    stages = [Stage(roles=["data_engineer"])]
    api.ask(governed.file(GatePolicy(stages=stages, comment_required=True, minimum_age=0.0)))
    for comment in ("", "  \0 ", None):
        assert api.answer(comment=comment).status_code == 422
    assert api.answer(comment="Because.\0").status_code == 200
    assert [said["comment"] for said in governed.recorded("decision")] == ["Because."]


class TestUntouched:
    def test_a_question_of_a_task_that_is_no_gate(self, api: Api, governed: Governed) -> None:
        reply = api.answer("Whatever", by="eve:", path=f"{RUN}/taskInstances/a_question/-1/hitlDetails")
        assert (reply.json(), len(api.reached), written_ahead(governed)) == ("a_question -1", 1, [])

    def test_reading_a_gate(self, api: Api) -> None:
        assert api.client.get(f"{RUN}/taskInstances/data_gate/-1/hitlDetails").json() == "data_gate"

    def test_other_requests_and_their_streamed_bodies(self, api: Api) -> None:
        chunks = (b"x" * 1000 for _ in range(2000))
        assert api.client.post("/api/v2/dags/digits_data/dagRuns", content=chunks).json() == "done"
        assert [len(body) for body in api.reached] == [2_000_000]

    def test_no_database_is_asked_for_them(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRLOCK_DATABASE", "postgresql://nobody@127.0.0.1:9/none")
        settings_module.settings.cache_clear()
        assert api.client.post("/api/v2/dags/digits_data/dagRuns", json={}).status_code == 200
