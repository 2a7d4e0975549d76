"""The Gates pages as people see them: what is compared, what may be answered, and what is escaped."""

import re

import pytest
from starlette.testclient import TestClient

from airlock.governance.evaluations import Measurement, SliceFigures
from airlock.governance.forms import Field
from airlock.governance.policy import GatePolicy, Stage
from airlock.plugins.console.app import console
from airlock.plugins.console.runs import RunFacts, TaskCost
from tests.governance.test_evidence import HOSTILE, PICTURE, Maker
from tests.governed import Governed, governed, home
from tests.plugins.console import POLICY, Directory, SignIn, directory, sign_in

__all__ = ["directory", "governed", "home", "sign_in"]


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
