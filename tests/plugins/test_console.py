"""The Gates pages: who sees what, what may be answered, and what is escaped."""

import re
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.api_fastapi.core_api.security import get_user
from starlette.testclient import TestClient

from airlock.governance.evaluations import Measurement, SliceFigures
from airlock.governance.forms import Field
from airlock.governance.ledger import verify_ledger
from airlock.governance.policy import Escalation, GatePolicy, Rework, Stage
from airlock.governance.signing import public_keys
from airlock.plugins.console import desk, pages, readers, requests
from airlock.plugins.console.app import console
from airlock.plugins.console.runs import RunFacts, TaskCost
from tests.governance.test_evidence import HOSTILE, PICTURE, Maker
from tests.governed import Governed, governed, home

__all__ = ["governed", "home"]

POLICY = GatePolicy(
    stages=[Stage(roles=["data_engineer"])],
    minimum_age=0.0,
    checklist={"looked": "I looked at the <b>samples</b>"},
    rework={"Clean again": Rework(dag="digits_data", step="clean")},
)
ROLES = {"dora": ("data_engineer",), "vera": ("model_validator",), "root": ("Admin",)}
SignIn = Callable[[str], TestClient]


class Directory:
    """What the auth manager and Airflow's database would say."""

    def __init__(self) -> None:
        self.unreadable: set[str] = set()
        self.submitter: list[str] = ["sam"]
        self.resumed: list[Any] = []
        self.run: RunFacts | None = RunFacts(started_by="sam", rework={}, note="", tasks=[])

    def people_of(self, *_arguments: Any) -> dict[str, list[str]]:
        return {"submitter": self.submitter, "trainer": [], "labeler": []}

    def is_authorized_dag(self, *, method: str, details: Any, user: Any, **_more: Any) -> bool:
        return details.id not in self.unreadable and not (method == "PUT" and user.get_name() == "guest")


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Directory:
    made = Directory()
    monkeypatch.setattr(readers, "get_auth_manager", lambda: made)
    monkeypatch.setattr(readers, "DagModel", SimpleNamespace(get_team_name=lambda _dag: None))
    monkeypatch.setattr(desk, "people", lambda: ROLES)
    monkeypatch.setattr(desk, "barred", lambda *_: [])
    for module in (desk, requests):
        monkeypatch.setattr(module, "people_of", made.people_of)
    monkeypatch.setattr(requests, "resume", made.resumed.append)
    monkeypatch.setattr(pages, "run_facts", lambda *_: made.run)
    return made


@pytest.fixture
def sign_in(governed: Governed, directory: Directory) -> Iterator[SignIn]:
    """Give a client as whoever is named."""
    requests.answers.cache_clear()

    def client(name: str) -> TestClient:
        console.dependency_overrides[get_user] = lambda: SimpleNamespace(get_name=lambda: name)
        return TestClient(console)

    yield client
    console.dependency_overrides.clear()
    requests.answers.cache_clear()


def listed(client: TestClient, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/gates/requests", params=query).json()
    return found


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


class TestTheComparison:
    """The page beside the champion, of every kind of manifest."""

    def page(self, governed: Governed, client: TestClient, manifest: str, champion: str = "") -> str:
        request = governed.file(POLICY, manifest, champion=champion, evidence="sha256:e")
        reply = client.get(f"/gates/{request.id}")
        assert reply.status_code == 200
        assert "No comparison" not in reply.text
        return reply.text

    def test_of_a_candidate_draws_intervals_and_shows_what_flipped(self, governed: Governed, sign_in: SignIn) -> None:
        maker = Maker(governed.artifacts)
        now, before = maker.candidate([0, 0, 0, 1]), maker.candidate([1, 0, 1, 1], parameters={"epochs": 5})
        page = self.page(governed, sign_in("dora"), now, before)
        assert len(re.findall('<svg class="bars"', page)) >= 3
        assert f'src="data:image/png;base64,{PICTURE}"' in page
        assert "Right before, wrong now" in page
        assert "Parameters that changed" in page
        assert "1 gained, 1 lost, p = 1" in page

    def test_of_a_candidate_lists_its_slices_and_texts_that_flipped(self, governed: Governed, sign_in: SignIn) -> None:
        maker = Maker(governed.artifacts)
        measured = Measurement(
            model="m", dataset=None, split="test", slice="faint", rule="mean < 70", count=3, figures={"accuracy": 0.5}
        )
        missed = SliceFigures(measured=measured, misses=["faint: accuracy 0.5000"], verdict="warned")
        told = {"slices": [missed], "errors": {}, "texts": {"s2": "Dear <b>all</b>"}}
        now, before = maker.candidate([0, 0, 0, 1], told=told), maker.candidate(told={"errors": {}})
        page = self.page(governed, sign_in("dora"), now, before)
        assert "mean &lt; 70" in page
        assert "faint: accuracy 0.5000" in page
        assert '<span class="excerpt">Dear &lt;b&gt;all&lt;/b&gt;</span>' in page

    def test_of_the_first_candidate_says_that_there_is_no_champion(self, governed: Governed, sign_in: SignIn) -> None:
        page = self.page(governed, sign_in("dora"), Maker(governed.artifacts).candidate())
        assert "Nothing serves digits yet" in page

    def test_of_a_release_leads_back_to_its_data(self, governed: Governed, sign_in: SignIn) -> None:
        maker = Maker(governed.artifacts)
        now, before = (maker.release(maker.candidate(), [0, 0, 0, 1], [0, 0, 1, end]) for end in (0, 1))
        page = self.page(governed, sign_in("dora"), now, before)
        for title in ("Compressed with litert_int8", "Release against champion", "The candidate it was made from"):
            assert title in page
        assert "Data and labels" in page

    @pytest.mark.parametrize("text", ["faint", *HOSTILE])
    def test_of_a_release_shows_every_way_to_compress_that_was_tried(
        self, governed: Governed, sign_in: SignIn, text: str
    ) -> None:
        maker = Maker(governed.artifacts)
        release = maker.release(maker.candidate(), [0, 1, 1, 1], [0, 0, 1, 1], frontier=maker.frontier(text))
        page = self.page(governed, sign_in("dora"), release)
        for told in ("Every way that was tried", "<strong>picked</strong>", "too much lost", "failed: ", "low_rank"):
            assert told in page
        assert not re.search(r"<img src=x|<script>|href=.https://evil", page)

    @pytest.mark.parametrize("text", HOSTILE)
    def test_shows_names_and_values_as_text(self, governed: Governed, sign_in: SignIn, text: str) -> None:
        maker = Maker(governed.artifacts)
        classes = [text, "one"]
        now = maker.candidate(classes=classes, parameters={text: text}, environment={text: text})
        page = self.page(governed, sign_in("dora"), now, maker.candidate([1, 0, 1, 1], classes=classes))
        assert not re.search(r"<img src=x|<script>|href=.https://evil", page)


class TestThePage:
    def test_has_a_form_only_for_whoever_may_answer(self, governed: Governed, sign_in: SignIn) -> None:
        request = governed.file(POLICY)
        hers, others = (sign_in(name).get(f"/gates/{request.id}").text for name in ("dora", "root"))
        path = "/api/v2/dags/digits_data/dagRuns/run/taskInstances/data_gate/-1/hitlDetails"
        assert f'data-url="{path}"' in hers
        assert re.findall(r'name="option" value="([^"]*)"', hers) == POLICY.options
        assert "<form" not in others
        assert "asks for the role data_engineer" in others

    def test_asks_the_policys_questions_and_shows_what_was_answered(self, governed: Governed, sign_in: SignIn) -> None:
        form = {
            "risk": Field(title="How <b>bad</b>?", options=["low", "high"]),
            "why": Field(title="Why?", required=False),
        }
        stages = [Stage(roles=["data_engineer"]), Stage(roles=["model_validator"])]
        request = governed.file(GatePolicy(stages=stages, minimum_age=0.0, form=form))
        page = sign_in("dora").get(f"/gates/{request.id}").text
        assert re.findall(r"<option[^>]*>([^<]*)</option>", page) == ["–", "low", "high"]
        assert '<textarea id="form_why" name="why" rows="2" data-form>' in page
        assert "How &lt;b&gt;bad&lt;/b&gt;?" in page
        governed.decide(request, answers={"risk": "high", "why": "<script>"})
        later = sign_in("vera").get(f"/gates/{request.id}").text
        assert "<dt>Why?</dt><dd>&lt;script&gt;</dd>" in later

    def test_runs_no_script_of_anybody_else(self, governed: Governed, sign_in: SignIn) -> None:
        reply = sign_in("dora").get(f"/gates/{governed.file(POLICY).id}")
        rules = reply.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in rules
        assert not re.search(r"<script(?! src=)|style=|\son\w+=", reply.text)

    def test_escapes_whatever_people_wrote(self, governed: Governed, sign_in: SignIn, directory: Directory) -> None:
        evil = "<img src=x onerror=alert(1)>"
        directory.run = RunFacts(
            started_by=evil,
            rework={"step": evil, "gate": evil, "note": evil},
            note=evil,
            tasks=[TaskCost(name=evil, state=evil, seconds=None, cached=False)],
        )
        request = governed.file(GatePolicy(stages=[Stage(roles=["data_engineer"], quorum=2)]), run=evil)
        governed.decide(request, comment=evil)
        client = sign_in("vera")
        for path in ("/gates", f"/gates/{request.id}", "/gates/at?dag=a&run=b&task=" + evil):
            assert "<img" not in client.get(path).text
        assert "&lt;b&gt;samples" in sign_in("dora").get(f"/gates/{governed.file(POLICY).id}").text

    def test_shows_the_note_of_a_rework_and_what_the_run_cost(
        self, governed: Governed, sign_in: SignIn, directory: Directory
    ) -> None:
        tasks = [
            TaskCost(name="train", state="success", seconds=90.0, cached=False),
            TaskCost(name="transform", state="success", seconds=1.5, cached=True),
        ]
        directory.run = RunFacts(
            started_by="sam", rework={"step": "clean", "gate": "data", "note": "Blurred."}, note="", tasks=tasks
        )
        page = sign_in("dora").get(f"/gates/{governed.file(POLICY).id}").text
        assert "This run is a rework" in page
        assert "Blurred." in page
        assert "1 min 31 s" in page
        assert "reused" in page

    def test_says_when_there_is_nothing_to_compare(self, governed: Governed, sign_in: SignIn) -> None:
        request = governed.file(POLICY, manifest="sha256:" + "0" * 64, evidence="sha256:e")
        page = sign_in("root").get(f"/gates/{request.id}")
        assert page.status_code == 200
        assert "No comparison" in page.text

    def test_is_found_by_its_task(self, governed: Governed, sign_in: SignIn) -> None:
        governed.file(POLICY)
        place = {"dag": "digits_data", "run": "run", "task": "data_gate", "map_index": "{MAP_INDEX}"}
        client = sign_in("dora")
        assert "digits: data gate" in client.get("/gates/at", params=place).text
        assert "No question here" in client.get("/gates/at", params=place | {"task": "train"}).text

    @pytest.mark.parametrize("name", ["gates.css", "gates.js", "gate.svg"])
    def test_finds_its_files(self, name: str) -> None:
        assert TestClient(console).get(f"/static/{name}").status_code == 200
