"""The Gates pages' requests: who sees what, what may be answered, and what is taken back."""

import time
from typing import Any

import pytest
from starlette.testclient import TestClient

from airlock.governance.ledger import verify_ledger
from airlock.governance.policy import Escalation, GatePolicy, Stage
from airlock.governance.signing import public_keys
from airlock.plugins.console import desk
from airlock.plugins.console.app import console
from tests.governed import Governed, governed, home
from tests.plugins.console import POLICY, Directory, SignIn, directory, listed, sign_in

__all__ = ["directory", "governed", "home", "sign_in"]


class TestNobodySignedIn:
    @pytest.mark.parametrize("path", ["/gates", "/gates/requests", f"/gates/{'0' * 64}", "/gates/requests/00000000"])
    def test_sees_nothing(self, path: str) -> None:
        assert TestClient(console).get(path).status_code == 401

    def test_withdraws_nothing(self) -> None:
        reply = TestClient(console).post("/gates/requests/00000000/withdraw", json={"reason": "x"})
        assert reply.status_code == 401


class TestOpenRequests:
    def test_say_who_may_answer_and_why_not(self, governed: Governed, sign_in: SignIn) -> None:
        request = governed.file(POLICY)
        (hers,) = listed(sign_in("dora"))
        assert hers["why_not"] == ""
        assert (hers["id"], hers["mine"], hers["why_not"], hers["state"]) == (request.id, True, "", "open")
        assert (hers["awaited"], hers["missing"], hers["stage"], hers["stages"]) == (["data_engineer"], 1, 0, 1)
        assert (hers["options"], hers["checklist"]) == (POLICY.options, POLICY.checklist)
        (theirs,) = listed(sign_in("root"))
        assert not theirs["mine"]
        assert "asks for the role data_engineer" in theirs["why_not"]
        assert listed(sign_in("root"), mine="true") == []

    def test_mine_come_first_then_the_oldest(self, governed: Governed, sign_in: SignIn) -> None:
        other = GatePolicy.of("model_validator")
        old = governed.file(POLICY, run="old", created=time.time() - 20)
        young = governed.file(POLICY, run="young", created=time.time() - 10)
        hers = governed.file(other, gate="model", run="hers")
        assert [each["id"] for each in listed(sign_in("vera"))] == [hers.id, old.id, young.id]

    def test_of_a_dag_that_the_reader_may_not_see_do_not_exist_for_them(
        self, governed: Governed, sign_in: SignIn, directory: Directory
    ) -> None:
        request = governed.file(POLICY)
        directory.unreadable.add(request.dag)
        client = sign_in("dora")
        assert listed(client) == []
        assert client.get(f"/gates/requests/{request.id}").status_code == 403
        assert client.get(f"/gates/{request.id}").status_code == 403
        assert request.id not in client.get("/gates?state=all").text

    def test_are_not_mine_without_the_right_to_answer_in_airflow(
        self, governed: Governed, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        governed.file(POLICY)
        monkeypatch.setattr(desk, "people", lambda: {"guest": ("data_engineer",)})
        (found,) = listed(sign_in("guest"))
        assert (found["mine"], found["why_not"]) == (False, "guest may not answer tasks in Airflow.")

    def test_name_their_deadline_and_are_overdue_after_the_reminder(self, governed: Governed, sign_in: SignIn) -> None:
        policy = GatePolicy(stages=[Stage(roles=["data_engineer"])], window=3600.0, reminder=30.0)
        late = governed.file(policy, run="late", created=time.time() - 40)
        governed.file(policy, run="young")
        asked = {each["run"]: each for each in listed(sign_in("dora"))}
        assert asked["late"]["deadline"] == late.created + 3600
        assert [asked[run]["overdue"] for run in ("late", "young")] == [True, False]

    def test_wait_for_the_escalation_too_once_its_time_has_come(self, governed: Governed, sign_in: SignIn) -> None:
        escalation = Escalation(after=30.0, roles=["model_validator"])
        governed.file(
            GatePolicy(stages=[Stage(roles=["data_engineer"])], escalation=escalation), created=time.time() - 40
        )
        assert [each["mine"] for each in listed(sign_in("vera"))] == [True]

    def test_do_not_count_an_approval_of_somebody_who_lost_the_role(
        self, governed: Governed, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = governed.file(GatePolicy(stages=[Stage(roles=["data_engineer"], quorum=2)]))
        governed.decide(request)
        (found,) = listed(sign_in("vera"))
        assert ([each["user"] for each in found["approvals"]], found["missing"]) == (["dora"], 1)
        monkeypatch.setattr(desk, "people", lambda: {"vera": ()})
        (found,) = listed(sign_in("vera"))
        assert (found["approvals"], found["missing"]) == ([], 2)

    def test_under_a_policy_that_nobody_adopted_disturb_no_other(self, governed: Governed, sign_in: SignIn) -> None:
        made_up = GatePolicy.of("data_labeler")
        governed.file(POLICY, run="real")
        governed.requests.open(governed_request(governed, made_up))
        asked = {each["run"]: each for each in listed(sign_in("dora"))}
        assert asked["real"]["mine"]
        assert (asked["forged"]["mine"], asked["forged"]["options"]) == (False, [])
        assert "Nobody adopted" in asked["forged"]["why_not"]
        assert sign_in("dora").get(f"/gates/{asked['forged']['id']}").status_code == 200


def governed_request(governed: Governed, policy: GatePolicy) -> Any:
    """A request that a worker filed although its policy was never adopted."""
    from msgspec.structs import replace

    real = governed.file(POLICY, run="real")
    return replace(real, policy=policy.digest, run="forged")


class TestClosedRequests:
    def test_are_listed_on_demand_with_how_they_ended(self, governed: Governed, sign_in: SignIn) -> None:
        request = governed.file(POLICY)
        governed.decide(request, "Clean again")
        governed.close(request, "rejected", reason="Clean again")
        client = sign_in("dora")
        assert listed(client) == []
        (found,) = listed(client, state="all")
        assert (found["state"], found["mine"], found["awaited"]) == ("rejected", False, [])
        page = client.get(f"/gates/{request.id}").text
        assert "rejected" in page
        assert "<form" not in page


class TestOneRequest:
    def test_comes_with_all_that_a_decision_rests_on(self, governed: Governed, sign_in: SignIn) -> None:
        request = governed.file(POLICY)
        found = sign_in("dora").get(f"/gates/requests/{request.id[:12]}").json()
        assert found["people"]["submitter"] == ["sam"]
        assert found["policy"]["stages"] == [{"roles": ["data_engineer"], "quorum": 1}]
        assert found["evidence"].startswith("### digits: data manifest")
        assert found["comparison"]["kind"] == "data"
        assert (found["decisions"], found["closing"]) == ([], None)

    def test_has_its_decisions_and_its_end(self, governed: Governed, sign_in: SignIn) -> None:
        request = governed.file(POLICY)
        governed.decide(request, checked=["looked"])
        record = governed.close(request, "approved", reason="Approve")
        found = sign_in("vera").get(f"/gates/requests/{request.id}").json()
        assert [(each["user"], each["option"]) for each in found["decisions"]] == [("dora", "Approve")]
        assert (found["closing"]["verdict"], found["closing"]["record"]) == ("approved", record.hash)
        assert [each["user"] for each in found["approvals"]] == ["dora"]

    @pytest.mark.parametrize("path", ["/gates/", "/gates/requests/"])
    def test_that_nobody_asked_is_not_found(self, sign_in: SignIn, path: str) -> None:
        assert sign_in("dora").get(path + "f" * 64).status_code == 404


class TestWithdrawing:
    def withdraw(self, client: TestClient, request: Any, reason: str = "Wrong data.") -> Any:
        return client.post(f"/gates/requests/{request.id}/withdraw", json={"reason": reason})

    def test_by_the_submitter_closes_it_with_a_signed_record(
        self, governed: Governed, sign_in: SignIn, directory: Directory
    ) -> None:
        request = governed.file(POLICY)
        reply = self.withdraw(sign_in("sam"), request)
        assert (reply.status_code, reply.json()["state"]) == (200, "withdrawn")
        closing, record = governed.book().closings[request.id]
        assert (closing.verdict, closing.user, closing.reason) == ("withdrawn", "sam", "Wrong data.")
        assert verify_ledger(governed.ledger.records(), public_keys(governed.keys)) == record.seq
        assert directory.resumed == [("digits_data", "run", "data_gate", -1)]

    @pytest.mark.parametrize("name", ["dora", "root"])
    def test_by_anybody_else_is_refused(self, governed: Governed, sign_in: SignIn, name: str) -> None:
        request = governed.file(POLICY)
        reply = self.withdraw(sign_in(name), request)
        assert reply.status_code == 403
        assert f"{name} did not submit this request: sam did." in reply.json()["detail"]
        assert request.id not in governed.book().closings

    def test_of_what_no_person_submitted_is_for_those_who_are_awaited(
        self, governed: Governed, sign_in: SignIn, directory: Directory
    ) -> None:
        directory.submitter = []
        request = governed.file(POLICY)
        assert self.withdraw(sign_in("root"), request).status_code == 403
        assert self.withdraw(sign_in("dora"), request).status_code == 200

    def test_needs_a_reason(self, governed: Governed, sign_in: SignIn) -> None:
        request = governed.file(POLICY)
        assert self.withdraw(sign_in("sam"), request, " \0 ").status_code == 422
        assert request.id not in governed.book().closings

    def test_twice_is_a_conflict(self, governed: Governed, sign_in: SignIn) -> None:
        request = governed.file(POLICY)
        client = sign_in("sam")
        assert [self.withdraw(client, request).status_code for _ in range(2)] == [200, 409]

    def test_early_leaves_the_gate_to_the_clock(
        self, governed: Governed, sign_in: SignIn, directory: Directory
    ) -> None:
        request = governed.file(GatePolicy(stages=POLICY.stages, minimum_age=60.0))
        assert self.withdraw(sign_in("sam"), request).status_code == 200
        assert directory.resumed == []
