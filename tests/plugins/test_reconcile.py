"""After a crash: what Airflow took is on record, what it did not take is void, and nobody can slip one in."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from airlock.digests import canonical
from airlock.governance.authority import KEY_FILE
from airlock.governance.policy import GatePolicy, Stage
from airlock.plugins import reconcile
from airlock.plugins.answers import GateAnswers
from airlock.plugins.reconcile import settle
from airlock.stores.gates import GateRequests
from tests.governed import Governed
from tests.plugins.conftest import Api, written_ahead

POLICY = GatePolicy(stages=[Stage(roles=["data_engineer"])], minimum_age=0.0)


@pytest.fixture
def crashed(api: Api, governed: Governed) -> Api:
    """Give a server that died while Airflow worked on an approval."""
    api.ask(governed.file(POLICY))
    api.crashes = True
    assert api.answer().status_code == 500
    return api


def airflow_took(monkeypatch: pytest.MonkeyPatch, taken: bool) -> list[str]:
    asked: list[str] = []
    monkeypatch.setattr(reconcile, "took", lambda _request, decision, _by: asked.append(decision.user) or taken)
    return asked


class TestTheNextStart:
    @pytest.mark.parametrize(("taken", "state"), [(True, "recorded"), (False, "void")])
    def test_settles_it_as_airflow_did(
        self, crashed: Api, governed: Governed, monkeypatch: pytest.MonkeyPatch, taken: bool, state: str
    ) -> None:
        asked = airflow_took(monkeypatch, taken)
        with TestClient(crashed.app):
            assert (asked, written_ahead(governed)) == (["dora"], [state])
        assert [said["user"] for said in governed.recorded("decision")] == ["dora"] * taken

    def test_settles_it_once(self, crashed: Api, governed: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
        airflow_took(monkeypatch, True)
        for _ in range(2):
            settle(GateAnswers())
        assert (len(governed.recorded("decision")), len(governed.recorded("closed"))) == (1, 1)

    def test_is_not_kept_from_starting_by_a_database_that_is_away(
        self, crashed: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        answers = GateAnswers()
        answers.requests.database.dsn = "postgresql://nobody@127.0.0.1:9/none"
        settle(answers)
        assert "could not be settled" in caplog.text

    def test_leaves_it_open_without_a_signing_key(
        self, crashed: Api, governed: Governed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        airflow_took(monkeypatch, True)
        monkeypatch.delenv(KEY_FILE)
        settle(GateAnswers())
        assert written_ahead(governed) == ["prepared"]


class TestSlippedIn:
    """Whoever gets at this table must not get the API server's key to sign what they wrote."""

    def voided(self, governed: Governed, monkeypatch: pytest.MonkeyPatch, request: str, body: dict[str, Any]) -> None:
        asked = airflow_took(monkeypatch, True)
        GateRequests(governed.guard).prepare(request, body)
        settle(GateAnswers())
        assert "void" in written_ahead(governed)
        assert all(said["request"] != request for said in governed.recorded("decision"))
        assert len(asked) == len(governed.recorded("decision"))

    def sealed(self, governed: Governed) -> dict[str, Any]:
        ((_, _, body),) = governed.requests.unfinished()
        return body

    def test_without_a_signature(self, crashed: Api, governed: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
        another = governed.file(POLICY, run="another")
        body = self.sealed(governed)["decision"] | {"request": another.id}
        self.voided(governed, monkeypatch, another.id, body)

    def test_with_another_decisions_signature(
        self, crashed: Api, governed: Governed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        another = governed.file(POLICY, run="another")
        body = self.sealed(governed)
        body["decision"] |= {"request": another.id}
        self.voided(governed, monkeypatch, another.id, body)

    def test_with_a_genuine_decision_about_another_request(
        self, crashed: Api, governed: Governed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        another = governed.file(POLICY, run="another")
        self.voided(governed, monkeypatch, another.id, self.sealed(governed))

    def test_next_to_it_a_genuine_one_is_still_settled(
        self, crashed: Api, governed: Governed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        genuine = self.sealed(governed)
        self.voided(governed, monkeypatch, governed.file(POLICY, run="another").id, {"nonsense": 1})
        assert [canonical(said) for said in governed.recorded("decision")] == [canonical(genuine["decision"])]
        assert sorted(written_ahead(governed)) == ["recorded", "void"]
