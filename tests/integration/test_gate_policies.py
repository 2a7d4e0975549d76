"""Every kind of policy at a real gate: a real Airflow, its API, its scheduler, and people who sign in."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import psycopg2
import pytest

from airlock.errors import UserError
from airlock.governance.book import Book
from airlock.governance.manifest import DataManifest, put
from airlock.governance.people import check_people, read_people
from airlock.governance.policy import GatePolicy, Stage
from airlock.launcher.layout import Layout
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.references import DatasetVersion, LabelSet
from airlock.stores.database import open_database
from airlock.stores.gates import GateRequest, GateRequests
from airlock.stores.layers import open_layers
from airlock.stores.ledger import Ledger
from tests.integration.conftest import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

NUMBERS = itertools.count(1)
CARD = {"card_complete": True}
ENDED = ("success", "failed", "skipped", "upstream_failed")


def manifest(stack: Stack) -> str:
    """Store a manifest unlike every other; return its digest."""
    store = open_layers(stack.settings)
    some = store.put(b"something")
    made = DataManifest(
        use_case="policies",
        classes=["zero", "one"],
        dataset=DatasetVersion(name="policies", version=next(NUMBERS), digest="sha256:d", rows=10),
        labels=LabelSet(digest="sha256:l", dataset="sha256:d", rows=10),
        split=some,
        report=some,
        dropped=some,
        counts={"train": 8, "test": 2},
    )
    return put(store, made).digest


class Gate:
    """A run of the DAG of one policy.

    :param by: role of who starts it.
    """

    def __init__(self, stack: Stack, name: str, by: str = "data_engineer", run: str = "") -> None:
        self.stack, self.name, self.dag, self.task = stack, name, f"policies_{name}", f"{name}_gate"
        self.digest = manifest(stack)
        conf = {"manifest": {"digest": self.digest}, "digests": [self.digest, manifest(stack)]}
        self.run = run or stack.person(by).trigger(self.dag, conf)
        self.requests = GateRequests(open_database(stack.settings.database))

    def states(self) -> dict[tuple[str, int], str]:
        tasks = self.stack.person("Admin").tasks(self.dag, self.run)
        return {(str(task["task_id"]), int(task["map_index"])): task["state"] for task in tasks}

    def state(self, index: int = -1) -> str:
        return self.states().get((self.task, index), "")

    def request(self, index: int = -1) -> GateRequest:
        found = self.requests.find(self.dag, self.run, self.task, index)
        assert found is not None
        return found

    def parked(self, index: int = -1) -> "Gate":
        """Wait until it asks and takes answers."""
        wait(lambda: self.state(index) == "awaiting_input", f"{self.dag} {self.run} never asked", self.states)
        time.sleep(max(0.0, self.request(index).created + 3.2 - time.time()))
        return self

    def answer(
        self, role: str, option: str = "Approve", comment: str = "Fine.", index: int = -1, **form: bool
    ) -> httpx.Response:
        body = {"chosen_options": [option], "params_input": {"comment": comment} | form}
        path = f"/dags/{self.dag}/dagRuns/{self.run}/taskInstances/{self.task}/{index}/hitlDetails"
        return self.stack.person(role).client.patch(path, json=body)

    def ends(self, state: str, index: int = -1) -> None:
        """Wait for the end of the gate's task, and make sure that it is this one."""
        wait(lambda: self.state(index) in ENDED, f"{self.dag} {self.run} did not end", self.states)
        assert self.state(index) == state, self.states()

    def leaves_behind_it(self, state: str) -> None:
        """Wait until what it protects is in a state: the scheduler comes to that after the gate's end."""
        wait(lambda: self.states()["protected", -1] == state, f"what {self.dag} protects is not {state}", self.states)

    @property
    def summary(self) -> str:
        """What operations staff read of it."""
        said = self.stack.person("Admin").xcom(self.dag, self.run, self.task, "summary")
        return str(said["headline"])

    def closing(self) -> tuple[str, str, str]:
        closed = self.book().closing(self.request().id)
        assert closed is not None
        return closed[0].verdict, closed[0].user, closed[0].reason

    def book(self) -> Book:
        return Book.open(Ledger(open_database(self.stack.settings.database)), self.stack.settings.public_keys)


def wait(until: Callable[[], bool], why: str, details: Callable[[], Any] = str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"{why}: {details()}"
        time.sleep(0.3)


def refused(reply: httpx.Response, status: int, why: str) -> None:
    assert (reply.status_code, why in reply.text) == (status, True), reply.text


Gates = dict[str, Gate]


@pytest.fixture(scope="module")
def gates(stack: Stack) -> Gates:
    """All gates at once, so that the time they take passes at the same time."""
    names = ("brief", "late", "comment", "lost", "mapped", "newest", "taken_back")
    made = {name: Gate(stack, name) for name in names}
    return made | {"staged": Gate(stack, "staged", by="data_scientist")}


class TestStages:
    def test_two_of_three_then_one_and_never_the_submitter(self, gates: Gates) -> None:
        gate = gates["staged"].parked()
        refused(gate.answer("data_scientist", **CARD), 403, "whoever was its submitter is excluded")
        refused(gate.answer("model_validator"), 422, "")
        refused(gate.answer("devops_engineer", **CARD), 403, "stage 1 of 2")
        refused(gate.answer("Admin", **CARD), 403, "stage 1 of 2")
        first = gate.answer("model_validator", **CARD)
        assert (first.status_code, gate.state()) == (200, "awaiting_input")
        refused(gate.answer("model_validator", **CARD), 403, "nobody counts twice")
        assert gate.answer("software_engineer", **CARD).status_code == 200
        refused(gate.answer("model_validator", **CARD), 403, "stage 2 of 2")
        assert gate.state() == "awaiting_input"
        assert gate.answer("devops_engineer", **CARD).status_code == 200
        gate.ends("success")
        assert gate.closing()[0] == "approved"
        assert [decision.user for decision in gate.book().tally(gate.request().id).counted] == ["vera", "sofi", "otto"]

    def test_a_rework_has_the_submitter_of_what_was_rejected_and_shows_the_note(self, stack: Stack) -> None:
        gate = Gate(stack, "staged", by="data_scientist").parked()
        assert gate.answer("model_validator", "Train again", "Too slow.").status_code == 200
        gate.ends("success")
        gate.leaves_behind_it("skipped")
        rework = Gate(stack, "staged", run=f"rework__{gate.request().id[:12]}").parked()
        found = stack.person("Admin")._json("GET", f"/dags/{rework.dag}/dagRuns/{rework.run}")
        assert found["note"] == "Rework from the staged gate, asked for by vera: Too slow."
        assert found["conf"]["rework"]["note"] == "Too slow."
        refused(rework.answer("data_scientist", **CARD), 403, "whoever was its submitter is excluded")


class TestForms:
    def test_a_required_comment(self, gates: Gates) -> None:
        gate = gates["comment"].parked()
        refused(gate.answer("data_engineer", comment=" "), 422, "comment")
        assert gate.answer("data_engineer", comment="Because.").status_code == 200
        gate.ends("success")
        assert "“Because.”" in gate.summary


class TestTime:
    def test_expiry_is_never_approval(self, gates: Gates) -> None:
        gate = gates["brief"]
        gate.ends("failed")
        assert gate.closing() == ("expired", "", "Nobody decided within 8 s.")
        assert gate.summary == "expired: Nobody decided within 8 s."
        gate.leaves_behind_it("upstream_failed")
        reply = gate.answer("data_engineer")
        assert reply.status_code >= 400, reply.text

    def test_a_newer_manifest_supersedes(self, stack: Stack, gates: Gates) -> None:
        older = gates["newest"].parked()
        newer = Gate(stack, "newest").parked()
        older.ends("skipped")
        verdict, _, reason = older.closing()
        assert (verdict, newer.digest.removeprefix("sha256:")[:12] in reason) == ("superseded", True)
        assert older.summary.startswith("superseded: Manifest ")
        assert newer.state() == "awaiting_input"

    def test_a_deleted_run_leaves_no_open_question(self, stack: Stack) -> None:
        gate = Gate(stack, "newest").parked()
        request = gate.request()
        with as_host(stack) as cursor:
            cursor.execute("DELETE FROM dag_run WHERE dag_id = %s AND run_id = %s", (gate.dag, gate.run))
        wait(lambda: gate.requests.state(request.id) == "withdrawn", "the request stays open", seconds=60)


class TestTakenBack:
    def test_by_its_submitter_with_a_reason(self, stack: Stack, gates: Gates) -> None:
        gate = gates["taken_back"].parked()
        url = f"{stack.settings.airflow}/airlock/gates/requests/{gate.request().id}/withdraw"

        def withdraw(role: str) -> httpx.Response:
            token = stack.person(role).client.headers["Authorization"]
            return httpx.post(url, json={"reason": "A mistake."}, headers={"Authorization": token}, timeout=30)

        refused(withdraw("data_scientist"), 403, "did not submit")
        assert withdraw("data_engineer").status_code == 200
        gate.ends("skipped")
        assert gate.closing() == ("withdrawn", "dana", "A mistake.")
        assert gate.summary == "withdrawn: A mistake."
        gate.leaves_behind_it("skipped")


@pytest.fixture
def vera_without_role(stack: Stack) -> Iterator[Callable[[], None]]:
    """Give what takes vera's role away, as whoever runs the host can; she has it again afterwards."""
    vera = "user_id = (SELECT id FROM ab_user WHERE username = 'vera')"
    with as_host(stack) as cursor:
        cursor.execute(f"SELECT id, user_id, role_id FROM ab_user_role WHERE {vera}")
        rows = cursor.fetchall()

    def take() -> None:
        with as_host(stack) as cursor:
            cursor.execute(f"DELETE FROM ab_user_role WHERE {vera}")

    yield take
    with as_host(stack) as cursor:
        cursor.executemany("INSERT INTO ab_user_role (id, user_id, role_id) VALUES (%s, %s, %s)", rows)
    # Whoever parses DAGs may have read meanwhile that nobody can validate: then these DAGs were refused.
    wait(lambda: "vera" in (read_people(stack.settings.people) or {}), "vera is not written down again")
    wait(lambda: not refused_dags(stack), "the DAGs are not parsed again", lambda: refused_dags(stack))


def refused_dags(stack: Stack) -> list[Any]:
    """What Airflow could not parse of these tests' DAGs."""
    errors = stack.person("Admin")._json("GET", "/importErrors")
    return [each for each in errors["import_errors"] if "policies" in each["filename"]]


@contextmanager
def as_host(stack: Stack) -> Iterator[Any]:
    """Work in Airflow's database past the guard, which refuses to everybody what happens here."""
    port = int(open_database(stack.settings.database).address.partition(":")[2].partition("/")[0])
    server = EmbeddedPostgres(Layout(stack.home).postgres, port)
    with psycopg2.connect(server.admin_dsn("airflow")) as link, link.cursor() as cursor:
        yield cursor


class TestRolesThatAreLost:
    def test_an_approval_of_somebody_who_lost_the_role_since_does_not_count(
        self, gates: Gates, vera_without_role: Callable[[], None]
    ) -> None:
        gate = gates["lost"].parked()
        assert gate.answer("model_validator").status_code == 200
        vera_without_role()
        assert gate.answer("software_engineer").status_code == 200
        assert gate.state() == "awaiting_input", "one of two who still have the role"
        assert [decision.user for decision in gate.book().tally(gate.request().id).counted] == ["sofi"]

    def test_who_has_it_again_may_approve_again(self, gates: Gates) -> None:
        gate = gates["lost"]
        assert gate.answer("model_validator").status_code == 200
        gate.ends("success")
        assert [decision.user for decision in gate.book().tally(gate.request().id).counted] == ["sofi", "vera"]


class TestSideBySide:
    def test_mapped_gates_are_decided_one_by_one(self, gates: Gates) -> None:
        gate = gates["mapped"].parked(0).parked(1)
        assert gate.answer("data_engineer", index=1).status_code == 200
        gate.ends("success", 1)
        assert gate.state(0) == "awaiting_input", "what one run asks side by side replaces nothing"
        assert gate.answer("data_engineer", index=0).status_code == 200
        gate.ends("success", 0)
        assert gate.request(0).manifest != gate.request(1).manifest


class TestBeingLate:
    def test_who_is_late_is_reminded_and_then_others_may_decide_too(self, stack: Stack, gates: Gates) -> None:
        gate = gates["late"].parked()
        wait(lambda: time.time() > gate.request().created + 45, "time stands still")
        assert gate.answer("devops_engineer").status_code == 200
        gate.ends("success")
        with open_database(stack.settings.database).transaction() as cursor:
            cursor.execute("SELECT kind FROM airlock.reminder WHERE request = %s ORDER BY kind", (gate.request().id,))
            kinds = [row["kind"] for row in cursor.fetchall()]
        assert "reminder" in kinds
        assert len(kinds) == len(set(kinds))

    def test_before_that_they_may_not(self, stack: Stack) -> None:
        refused(Gate(stack, "late").parked().answer("devops_engineer"), 403, "asks for the role model_validator")


class TestPeople:
    def test_who_lives_is_known_where_dags_are_parsed(self, stack: Stack) -> None:
        known = read_people(stack.settings.people) or {}
        assert {name: known.get(name) for name in ("dana", "vera", "admin")} == {
            "dana": ["data_engineer"],
            "vera": ["model_validator"],
            "admin": None,
        }

    def test_a_policy_nobody_could_satisfy_is_refused_there(self, stack: Stack) -> None:
        policy = GatePolicy(stages=[Stage(roles=["model_validator"], quorum=2)])
        with pytest.raises(UserError, match="vera can sign in with such a role"):
            check_people(policy, "the model gate of digits", stack.settings.people)

    def test_every_dag_of_these_tests_was_parsed_with_it(self, stack: Stack) -> None:
        found = refused_dags(stack)
        assert found == [], msgspec.json.encode(found).decode()
