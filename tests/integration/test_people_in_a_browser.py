"""Gates in a headless Chromium: each role signs in, sees only what it may, and answers or is refused."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from airlock.demo.follow import now
from airlock.stores.database import open_database
from airlock.stores.gates import GateRequest, GateRequests
from tests.integration.browser import CHROMIUM, People, people, readable, tab_to
from tests.integration.conftest import Stack
from tests.integration.lifecycle import Journey

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: install Debian's package chromium"),
]

ROLES = (
    "Admin",
    "data_engineer",
    "data_labeler",
    "data_scientist",
    "devops_engineer",
    "model_validator",
    "software_engineer",
)
RIGHT, GATE = "data_engineer", "digits: data gate"
DAGS = ("digits_data", "digits_model", "digits_deployment")
NOTE = "The scans are <i>blurred</i>."
DARK = "rgb(16, 20, 26)"
# What reaches over the edge of the window and is not in a box that scrolls.
TOO_WIDE = """() => [...document.querySelectorAll("main *")]
  .filter(node => node.getBoundingClientRect().right > innerWidth && !node.closest(".scroll"))
  .map(node => `${node.tagName}.${node.className}: ${node.textContent.trim().slice(0, 60)}`)"""
ANSWER = """async ([url, option]) => {
  const body = JSON.stringify({ chosen_options: [option], params_input: { comment: "Let me." } });
  const headers = { "Content-Type": "application/json" };
  const reply = await fetch(url, { method: "PATCH", headers, body });
  return [reply.status, (await reply.json()).detail];
}"""


class Waiting:
    """Runs of digits that are watched from here, and their questions."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.watcher = stack.person("Admin")
        self.requests = GateRequests(open_database(stack.settings.database))
        self.started = now()

    def runs(self, dag: str) -> list[str]:
        """Runs that began since, oldest first."""
        return [str(run["dag_run_id"]) for run in self.watcher.runs(dag, self.started.isoformat())]

    def question(self, dag: str, task: str, number: int = 0, seconds: float = 400) -> GateRequest:
        """Wait for the question of a run's gate, and until it may be answered.

        :param number: of the run, among those that began since.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            runs = self.runs(dag)
            states = {t["task_id"]: t["state"] for t in self.watcher.tasks(dag, runs[number])} if runs[number:] else {}
            found = self.requests.find(dag, runs[number], task) if states.get(task) == "awaiting_input" else None
            if found is not None and time.time() - found.created > 4:
                return found
            time.sleep(0.3)
        raise AssertionError(f"{dag}.{task} asks nothing: {states}")

    def clear_the_way(self) -> None:
        """See what earlier tests left waiting to its end: one run that waits holds up the next."""
        for dag in DAGS:
            for run in self.watcher.runs(dag, "2000-01-01T00:00:00+00:00"):
                if run["state"] in ("queued", "running"):
                    Journey(self.stack).follow(dag, str(run["dag_run_id"]))
        self.started = now()

    def finish(self) -> None:
        """See every run to its end: one that waits holds up the next."""
        journey = Journey(self.stack)
        for dag in DAGS:
            journey.wait_for_run(dag, self.started)  # an approval wakes the next pipeline a moment later
            for run in self.runs(dag):
                journey.follow(dag, run)


@pytest.fixture(scope="module")
def waiting(stack: Stack) -> Iterator[Waiting]:
    """Start a data run, which a data engineer has to judge."""
    watched = Waiting(stack)
    watched.clear_the_way()
    stack.person(RIGHT).trigger("digits_data")
    yield watched
    watched.finish()


@pytest.fixture(scope="module")
def asked(waiting: Waiting) -> GateRequest:
    return waiting.question("digits_data", "data_gate")


@pytest.fixture(scope="module")
def windows(stack: Stack) -> Iterator[People]:
    with people(stack) as opened:
        yield opened


def address(asked: GateRequest) -> str:
    return f"/airlock/gates/{asked.id}"


def answer_url(asked: GateRequest) -> str:
    run = asked.run.replace("+", "%2B")
    return f"/api/v2/dags/{asked.dag}/dagRuns/{run}/taskInstances/{asked.task}/-1/hitlDetails"


def send(page: Any, option: str, comment: str) -> None:
    page.get_by_role("radio", name=option).check()
    page.get_by_label("Comment").fill(comment)
    page.get_by_role("button", name="Send the answer").click()


class TestWhatARoleSees:
    @pytest.mark.parametrize("role", ROLES)
    def test_gates_in_the_navigation_and_there_only_its_own_to_answer(
        self, windows: People, asked: GateRequest, role: str
    ) -> None:
        page = windows.page(role)
        page.goto("/")
        page.get_by_role("link", name="Gates").click()
        frame = page.frame_locator("iframe[title=Gates]")
        expect(frame.get_by_role("heading", name="Yours to answer")).to_be_visible()
        mine = frame.get_by_role("table", name="Yours to answer").get_by_role("link", name=GATE)
        others = frame.get_by_role("table", name="Waiting for others").get_by_role("link", name=GATE)
        expect(mine).to_have_count(1 if role == RIGHT else 0)
        expect(others).to_have_count(0 if role == RIGHT else 1)
        expect(page.get_by_role("button", name="Admin")).to_have_count(1 if role == "Admin" else 0)
        page.context.close()

    @pytest.mark.parametrize("role", ROLES)
    def test_the_form_or_the_reason_why_there_is_none(self, windows: People, asked: GateRequest, role: str) -> None:
        page = windows.page(role)
        page.goto(address(asked))
        expect(page.locator("#state")).to_contain_text("open")
        expect(page.locator("form#answer")).to_have_count(1 if role == RIGHT else 0)
        if role != RIGHT:
            expect(page.get_by_text("asks for the role data_engineer")).to_be_visible()
        page.context.close()

    def test_nothing_without_signing_in(self, windows: People, asked: GateRequest) -> None:
        context = windows.browser.new_context(base_url=windows.stack.settings.airflow)
        assert [context.request.get(path).status for path in ("/airlock/gates", address(asked))] == [401, 401]
        context.close()


class TestRefused:
    @pytest.mark.parametrize("role", [role for role in ROLES if role != RIGHT])
    def test_whoever_sends_an_answer_past_the_page(self, windows: People, asked: GateRequest, role: str) -> None:
        page = windows.page(role)
        page.goto(address(asked))
        status, detail = page.evaluate(ANSWER, [answer_url(asked), "Approve"])
        assert (status, "asks for the role data_engineer" in detail) == (403, True)
        page.reload()
        expect(page.locator("#state")).to_contain_text("open")
        page.context.close()


@pytest.fixture(scope="module")
def rejected(windows: People, asked: GateRequest) -> GateRequest:
    """Rejected with a note, while an older window still shows the form."""
    older, page = windows.page(RIGHT), windows.page(RIGHT)
    older.goto(address(asked))
    page.goto(address(asked))
    readable(page)
    send(page, "Clean again", NOTE)
    expect(page.get_by_role("status")).to_contain_text("rejected by dana")
    expect(page.get_by_role("status")).to_be_focused()
    expect(page.locator("form#answer")).to_have_count(0)
    send(older, "Approve", "Me too.")
    expect(older.get_by_role("alert")).to_contain_text("The request is rejected")
    for each in (older, page):
        each.context.close()
    return asked


@pytest.fixture(scope="module")
def rework(waiting: Waiting, rejected: GateRequest) -> GateRequest:
    return waiting.question("digits_data", "data_gate", number=1)


class TestRejection:
    def test_starts_the_rework_which_shows_the_note(self, windows: People, rework: GateRequest) -> None:
        page = windows.page(RIGHT)
        page.goto(address(rework))
        note = page.get_by_role("region", name="Rework")
        expect(note).to_contain_text("The data gate sent it back to clean")
        expect(note).to_contain_text(NOTE)
        page.context.close()

    def test_the_rework_can_be_approved_with_the_keyboard_alone(self, windows: People, rework: GateRequest) -> None:
        page = windows.page(RIGHT)
        page.goto("/airlock/gates")
        tab_to(page, f"a[href$='{rework.id}']")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**{address(rework)}")
        tab_to(page, "input[type=radio]")
        page.keyboard.press("Space")
        tab_to(page, "textarea")
        page.keyboard.type("Sharp now.")
        tab_to(page, "form#answer button")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text("approved by dana")
        expect(page.get_by_text("Sharp now.")).to_be_visible()
        page.context.close()


@pytest.fixture(scope="module")
def model(waiting: Waiting) -> GateRequest:
    asked = waiting.question("digits_model", "experiment_gate")
    person = waiting.stack.person("data_scientist")
    assert person.answer(asked.dag, asked.run, asked.task, "Approve", "Understood.").is_success
    return waiting.question("digits_model", "model_gate")


class TestInsideAirflow:
    def test_the_task_shows_its_gate_in_the_dark_and_a_validator_approves_there(
        self, windows: People, model: GateRequest
    ) -> None:
        page = windows.page("model_validator", theme="dark")
        page.goto(f"/dags/{model.dag}/runs/{model.run}/tasks/{model.task}/plugin/gate")
        frame = page.frame_locator("iframe[title=Gate]")
        expect(frame.get_by_role("heading", name="digits: model gate")).to_be_visible()
        inside = next(each for each in page.frames if "/airlock/gates/at" in each.url)
        assert inside.evaluate("() => getComputedStyle(document.body).backgroundColor") == DARK
        readable(inside)
        expect(frame.get_by_role("heading", name="Candidate against champion")).to_be_visible()
        frame.locator("#form_risk").select_option("low")
        frame.locator("#form_mitigation").fill("A person reads what is unclear.")
        send(frame, "Approve", "Accurate enough.")
        expect(frame.get_by_role("status")).to_contain_text("approved by vera")
        page.context.close()

    def test_a_task_that_is_no_gate_says_so(self, windows: People, model: GateRequest) -> None:
        page = windows.page("model_validator")
        page.goto(f"/dags/{model.dag}/runs/{model.run}/tasks/train/plugin/gate")
        expect(page.frame_locator("iframe[title=Gate]").get_by_role("heading", name="No question")).to_be_visible()
        page.context.close()

    def test_nothing_is_cut_off_in_a_narrow_window(self, windows: People, model: GateRequest) -> None:
        page = windows.page("model_validator")
        page.set_viewport_size({"width": 380, "height": 800})
        for path in ("/airlock/gates?state=all", address(model)):
            page.goto(path)
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            assert page.evaluate("() => document.scrollingElement.scrollWidth") <= 380, page.evaluate(TOO_WIDE)
        page.context.close()
