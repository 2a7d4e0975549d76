"""The guard: only the right role answers a gate, what it lets through is signed, and nothing else is touched."""

import time
from typing import Any

import pytest

from airlock import settings as settings_module
from airlock.errors import InfrastructureError
from airlock.governance.ledger import verify_ledger
from airlock.governance.policy import GatePolicy, Rework
from airlock.governance.signing import public_keys
from airlock.plugins.answers import KEY_FILE
from airlock.stores.ledger import Ledger
from tests.governed import Governed
from tests.plugins.conftest import Api, written_ahead

POLICY = GatePolicy(role="data_engineer", rework={"Clean again": Rework(dag="digits_data", step="clean")})
RUN = "/api/v2/dags/digits_data/dagRuns/run"


@pytest.fixture
def request_id(governed: Governed) -> str:
    return governed.file(POLICY).id


@pytest.mark.usefixtures("request_id")
class TestTheRightRole:
    def test_passes_and_leaves_a_signed_decision(self, api: Api, governed: Governed, request_id: str) -> None:
        reply = api.answer(by="dora:data_engineer,data_labeler")
        assert (reply.status_code, reply.json()) == (200, "data_gate -1")
        assert api.reached == [{"chosen_options": ["Approve"], "params_input": {"comment": "Fine."}}]
        (record,) = governed.ledger.records()
        assert verify_ledger([record], public_keys(settings_module.settings().public_keys)) == 1
        said = record.content
        assert (said["user"], said["roles"]) == ("dora", ["data_engineer", "data_labeler"])
        assert (said["request"], said["approved"], said["comment"]) == (request_id, True, "Fine.")
        assert written_ahead(governed) == ["recorded"]

    def test_may_reject(self, api: Api, governed: Governed) -> None:
        assert api.answer("Clean again").status_code == 200
        assert [said["approved"] for said in governed.recorded("decision")] == [False]

    @pytest.mark.parametrize("status", [400, 409])
    def test_is_not_on_record_when_airflow_refuses(self, api: Api, governed: Governed, status: int) -> None:
        api.status = status
        assert api.answer().status_code == status
        assert (governed.ledger.records(), written_ahead(governed)) == ([], ["void"])

    def test_hears_no_success_before_it_is_on_record(
        self, api: Api, governed: Governed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_arguments: Any, **_named: Any) -> None:
            raise InfrastructureError("gone")

        monkeypatch.setattr(Ledger, "append", away)
        assert api.answer().status_code == 500
        assert written_ahead(governed) == ["prepared"]

    def test_is_left_to_the_next_start_when_the_server_dies(self, api: Api, governed: Governed) -> None:
        api.crashes = True
        assert api.answer().status_code == 500
        assert (governed.ledger.records(), written_ahead(governed)) == ([], ["prepared"])


@pytest.mark.usefixtures("request_id")
class TestRefused:
    def refused(self, api: Api, governed: Governed, reply: Any, status: int, why: str) -> None:
        assert (reply.status_code, why in reply.json()["detail"]) == (status, True), reply.text
        assert (api.reached, governed.ledger.records(), written_ahead(governed)) == ([], [], [])

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

    @pytest.mark.parametrize("index", ["first", "1.0", "%00", "-1%00"])
    def test_a_map_index_that_airflow_might_read_otherwise(self, api: Api, governed: Governed, index: str) -> None:
        path = f"{RUN}/taskInstances/data_gate/{index}/hitlDetails"
        self.refused(api, governed, api.answer(path=path), 422, "map index")

    def test_an_answer_of_more_than_a_mebibyte(self, api: Api, governed: Governed) -> None:
        self.refused(api, governed, api.answer(comment="x" * (1 << 20)), 422, "larger than 1 MiB")

    def test_without_a_signing_key(self, api: Api, governed: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(KEY_FILE)
        self.refused(api, governed, api.answer(), 403, "no signing key")

    def test_without_a_database(self, api: Api, governed: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRLOCK_DATABASE", "postgresql://nobody@127.0.0.1:9/none")
        settings_module.settings.cache_clear()
        self.refused(api, governed, api.answer(), 503, "does not answer")

    @pytest.mark.parametrize(
        "path", ["data%5Fgate/-1/hitlDetails", "data_gate/%2D1/hitlDetails/", "data_gate/-1/hitlDetails/"]
    )
    def test_under_every_spelling_of_the_path(self, api: Api, governed: Governed, path: str) -> None:
        reply = api.answer(by="eve:Admin", path=f"{RUN}/taskInstances/{path}")
        self.refused(api, governed, reply, 403, "asks for the role data_engineer")

    def test_too_early(self, api: Api, governed: Governed) -> None:
        governed.file(POLICY, created=time.time())
        self.refused(api, governed, api.answer(), 409, "opens for answers in")


def test_a_gate_that_asks_for_a_comment_takes_none_without(api: Api, governed: Governed) -> None:
    governed.file(GatePolicy(role="data_engineer", comment_required=True))
    for comment in ("", "  \0 ", None):
        assert api.answer(comment=comment).status_code == 422
    assert api.answer(comment="Because.\0").status_code == 200
    assert [said["comment"] for said in governed.recorded("decision")] == ["Because."]


@pytest.mark.usefixtures("request_id")
class TestUntouched:
    def test_a_task_that_filed_no_request(self, api: Api, governed: Governed) -> None:
        reply = api.answer("Whatever", by="eve:", path=f"{RUN}/taskInstances/a_question/-1/hitlDetails")
        assert (reply.json(), len(api.reached), written_ahead(governed)) == ("a_question -1", 1, [])

    def test_reading_a_gate(self, api: Api) -> None:
        assert api.client.get(f"{RUN}/taskInstances/data_gate/-1/hitlDetails").json() == "data_gate"

    def test_other_requests_and_their_streamed_bodies(self, api: Api) -> None:
        chunks = (b"x" * 1000 for _ in range(2000))
        assert api.client.post(f"{RUN}/clear", content=chunks).json() == "cleared"
        assert [len(body) for body in api.reached] == [2_000_000]
