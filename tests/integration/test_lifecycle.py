"""Real images through the data, model and deployment DAGs of a real Airflow, to a model that answers."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import msgspec
import psycopg2
import pytest

from airlock.demo.follow import now
from airlock.demo.serving import ask_served, closing_line, ledger_holds
from airlock.digests import short
from airlock.governance.manifest import CandidateManifest, ReleaseManifest, chain
from airlock.launcher.layout import Layout
from airlock.launcher.status import status, total_memory
from airlock.stores.database import open_database
from airlock.stores.gates import GateRequests
from airlock.stores.layers import open_layers
from airlock.stores.ledger import Ledger
from tests.integration.conftest import Stack
from tests.integration.lifecycle import Journey
from tests.integration.successors import promoted, records, rolled_back

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

ALL_GATES = {"data", "experiment", "model", "release"}
RIGHT = {
    "data": "data_engineer",
    "experiment": "data_scientist",
    "model": "model_validator",
    "release": "devops_engineer",
}
MAX_IDLE_MIB = 1600
REFUSED = 403
LAST_LINE = r"airlock: served digits [0-9a-f]{12} accuracy=0\.\d+ size=\d+ p50=\d+\.\d+ms gates=4 ledger=ok"


@pytest.fixture(scope="module")
def digits(stack: Stack) -> Journey:
    """The digits use case, taken to an endpoint once."""
    journey = Journey(stack)
    journey.through("digits")
    return journey


class TestFirstTime:
    def test_it_ends_with_a_model_that_answers_and_names_its_manifest(self, stack: Stack, digits: Journey) -> None:
        served = ask_served("digits", stack.settings)
        line = closing_line(served, digits.gates, ledger_holds(stack.settings))
        assert re.fullmatch(LAST_LINE, line)
        assert line.startswith(f"airlock: served digits {short(served.manifest)} ")

    def test_the_served_model_is_accurate_and_small(self, stack: Stack, digits: Journey) -> None:
        store = open_layers(stack.settings)
        manifests = list(chain(store, ask_served("digits", stack.settings).manifest).values())
        release = next(manifest for manifest in manifests if isinstance(manifest, ReleaseManifest))
        candidate = next(manifest for manifest in manifests if isinstance(manifest, CandidateManifest))
        comparison = json.loads(store.read(release.comparison.digest))
        assert candidate.metrics["accuracy"] >= 0.97
        assert comparison["compressed"]["bytes"] * 3 <= comparison["original"]["bytes"]
        assert comparison["points_lost"] <= 1.0

    def test_only_the_right_role_opens_a_gate(self, digits: Journey) -> None:
        assert set(digits.refusals) == ALL_GATES
        for gate, refusals in digits.refusals.items():
            assert RIGHT[gate] not in refusals
            assert set(refusals.values()) == {REFUSED}, gate
            assert "Admin" in refusals

    def test_every_gate_shows_its_evidence(self, digits: Journey) -> None:
        assert "Every expectation holds" in digits.questions["data"]["body"]
        assert "accuracy" in digits.questions["model"]["body"]
        assert "Compressed by" in digits.questions["release"]["body"]
        assert all("champion" in question["body"] for question in digits.questions.values())

    def test_the_ledger_says_who_decided_what_and_what_followed(self, stack: Stack, digits: Journey) -> None:
        decisions = records(stack, "decision")[:4]
        people = {RIGHT[gate]: stack.users[RIGHT[gate]].username for gate in RIGHT}
        assert [record["gate"] for record in decisions] == ["data", "experiment", "model", "release"]
        for decision in decisions:
            role = RIGHT[str(decision["gate"])]
            assert role in decision["roles"]  # type: ignore[operator]
            assert str(decision["user"]).split()[0].lower() == people[role]
        assert [record["manifest"] for record in records(stack, "deployment")][:1] == [decisions[-1]["manifest"]]

    def test_tasks_link_to_their_run_report_manifest_and_endpoint(self, stack: Stack, digits: Journey) -> None:
        run = digits.runs["digits_model"]
        deployed = digits.runs["digits_deployment"]
        admin = stack.person("Admin")
        training = admin._json("GET", f"/dags/digits_model/dagRuns/{run}/taskInstances/train/links")
        assert str(training["extra_links"]["MLflow run"]).startswith(stack.settings.tracking)
        serving = admin._json("GET", f"/dags/digits_deployment/dagRuns/{deployed}/taskInstances/deploy/links")
        assert str(serving["extra_links"]["Endpoint"]).startswith(stack.settings.serving)
        manifest = admin._json("GET", f"/dags/digits_model/dagRuns/{run}/taskInstances/register/links")
        url = str(manifest["extra_links"]["Manifest"])
        assert httpx.get(url).status_code in (401, 403)
        page = httpx.get(url, headers={"Authorization": admin.client.headers["Authorization"]})
        assert page.status_code == 200
        assert "airlock_manifest" in page.text

    def test_history_says_what_went_in_and_out(self, stack: Stack, digits: Journey) -> None:
        run = digits.runs["digits_model"]
        summary = stack.person("Admin").xcom("digits_model", run, "train", "summary")
        assert summary["headline"].startswith("train: succeeded in")
        assert "| in | tensors | artifact" in summary["table"]
        assert "| out | model | artifact" in summary["table"]


@pytest.fixture(scope="module")
def again(stack: Stack, digits: Journey) -> Journey:
    """The same use case once more."""
    journey = Journey(stack)
    journey.through("digits")
    return journey


class TestSecondTime:
    def test_every_unchanged_step_is_reused(self, again: Journey) -> None:
        ran = {step.task for step in again.steps if not step.cached}
        gates = {"data_gate", "experiment_gate", "model_gate", "release_gate"}
        assert ran == gates | {"claim", "challenge", "promote", "stage", "smoke_test", "canary", "deploy"}

    def test_the_same_bytes_make_the_same_manifest(self, stack: Stack, again: Journey) -> None:
        deployments = [record["manifest"] for record in records(stack, "deployment")]
        assert len(set(deployments)) == 1


class TestRejection:
    def test_it_starts_the_rework_it_names_on_what_was_approved_before(self, stack: Stack, digits: Journey) -> None:
        journey = Journey(stack, rejects={"model": "Train again"})
        started = now()
        runs = journey.through("digits", ("data", "model"))
        after = journey.watcher.runs("digits_model", started.isoformat())
        rework = next(run for run in after if run["dag_run_id"] != runs["digits_model"])
        assert rework["conf"]["rework"]["step"] == "train"
        assert rework["conf"]["rework"]["note"] == "Not good enough."
        journey.follow("digits_model", rework["dag_run_id"])
        reworked = {step.task: step for step in journey.steps[-11:]}
        assert reworked["transform"].cached
        assert not reworked["train"].cached
        assert reworked["promote"].state == "success"

    def test_what_was_rejected_goes_no_further(self, stack: Stack, digits: Journey) -> None:
        rejected = [record for record in records(stack, "decision") if not record["approved"]]
        assert rejected
        deployed = {record["manifest"] for record in records(stack, "deployment")}
        assert all(record["manifest"] not in deployed or record["gate"] != "release" for record in rejected)


class TestRevision:
    """Refactored source in a real Airflow as far as its gate; what an approval does then is tested with real stores."""

    def test_it_is_compared_and_waits_for_another_engineer(self, stack: Stack, digits: Journey) -> None:
        # The last one: the first was rejected when it came again.
        *_, candidate = (r["manifest"] for r in records(stack, "promotion") if r["queue"] == "digits/deployment")
        engineer = stack.person("software_engineer")
        conf = {"manifest": candidate, "transform_code": "transform_revised.py", "network_code": ""}
        run = engineer.trigger("digits_revision", conf)
        asked = ("digits_revision", run, "revision_gate")
        wait_for_state(stack, *asked, "awaiting_input", 300)
        body = engineer.question(*asked)["body"]
        assert f"**A revision** of the candidate [`{short(str(candidate))}`]" in body
        assert "New source: transform. **Bit-equal**: 0 of " in body
        assert "right and wrong are the same as that candidate's" in body
        assert engineer.answer(*asked, "Approve", "Mine.", {"source_read": True}).status_code == REFUSED
        assert stack.person("model_validator").answer(*asked, "Approve", "").status_code == REFUSED
        promoted = [str(record["manifest"]) for record in records(stack, "promotion")]
        take_back(stack, run, *asked[::2], "software_engineer")
        assert [str(record["manifest"]) for record in records(stack, "promotion")] == promoted


class TestSuccessors:
    def test_a_good_one_is_promoted_after_a_canary(self, digits: Journey) -> None:
        promoted(digits, "train.parameters.dropout=0.25")

    def test_a_bad_one_is_rolled_back_by_itself(self, stack: Stack, digits: Journey) -> None:
        before = rolled_back(digits)
        assert ask_served("digits", stack.settings).manifest == before.manifest


class TestRetraining:
    def test_by_the_clock_of_a_real_scheduler_keeps_a_champion_that_is_as_good(
        self, stack: Stack, digits: Journey
    ) -> None:
        """Once in a minute, one at a time, none for the minutes before: nobody is asked, and the ledger says why."""
        api, dag = stack.person("Admin"), "digits_again"
        (*_, candidate) = (r["manifest"] for r in records(stack, "promotion") if r["queue"] == "digits/deployment")
        named = msgspec.json.encode({"digest": candidate}).decode()
        assert api.client.post("/variables", json={"key": "candidate", "value": named}).status_code == 201
        api.wait_for(dag)
        started = now()
        assert api.client.patch(f"/dags/{dag}", json={"is_paused": False}).is_success
        run = digits.wait_for_run(dag, started - timedelta(minutes=2), 120)
        wait_for_state(stack, dag, run, "people_are_asked", "skipped")
        assert api.client.patch(f"/dags/{dag}", json={"is_paused": True}).is_success
        digits.follow(dag, run)
        deadline = time.monotonic() + 30
        while (found := api.run(dag, run))["state"] == "running":
            assert time.monotonic() < deadline, found
            time.sleep(0.5)
        assert (found["run_type"], found["state"]) == ("scheduled", "success")
        assert len(api.runs(dag, "2000-01-01T00:00:00Z")) <= 2, "No minute is caught up on."
        kept = [record for record in records(stack, "kept") if record["run"] == run]
        assert [record["manifest"] for record in kept] == [candidate]
        assert "of champion" in str(kept[0]["reason"])


class TestWalkingRound:
    def test_a_gate_marked_successful_deploys_nothing(self, stack: Stack, digits: Journey) -> None:
        admin = stack.person("Admin")
        before = len(records(stack, "promotion"))
        run = stack.person("data_engineer").trigger("digits_data")
        wait_for_state(stack, "digits_data", run, "data_gate", "awaiting_input")
        path = f"/dags/digits_data/dagRuns/{run}/taskInstances/data_gate"
        reply = admin.client.patch(path, json={"new_state": "success"})
        assert reply.status_code == REFUSED, reply.text
        assert len(records(stack, "promotion")) == before
        take_back(stack, run)

    def test_an_answer_that_comes_too_early_is_asked_to_wait(self, stack: Stack, digits: Journey) -> None:
        engineer = stack.person("data_engineer")
        run = engineer.trigger("digits_data")
        wait_for_state(stack, "digits_data", run, "data_gate", "awaiting_input")
        early = engineer.answer("digits_data", run, "data_gate", "Approve", "Quick.")
        assert early.status_code == 409
        assert "opens for answers" in early.text
        take_back(stack, run)

    def test_nobody_signed_in_gets_nowhere(self, stack: Stack, digits: Journey) -> None:
        run = digits.runs["digits_data"]
        url = f"{stack.settings.airflow}/api/v2/dags/digits_data/dagRuns/{run}/taskInstances/data_gate/-1/hitlDetails"
        assert httpx.patch(url, json={"chosen_options": ["Approve"], "params_input": {}}).status_code in (401, 403)


class TestOperations:
    def test_the_idle_stack_fits_a_laptop(self, stack: Stack, digits: Journey) -> None:
        services = status(stack.home)
        assert all(service.state == "running" for service in services)
        assert total_memory(services) <= MAX_IDLE_MIB

    def test_a_changed_byte_in_the_ledger_is_named(self, stack: Stack, digits: Journey, tampered: int) -> None:
        ended = airlock(stack, "ledger", "verify")
        assert ended.returncode == 1
        assert f"record {tampered} " in ended.stderr

    def test_the_untouched_ledger_verifies(self, stack: Stack, digits: Journey) -> None:
        ended = airlock(stack, "ledger", "verify")
        count = len(Ledger(open_database(stack.settings.database)).records())
        assert (ended.returncode, ended.stdout.strip()) == (0, f"ledger ok: {count} records")


@pytest.fixture
def tampered(stack: Stack) -> Iterator[int]:
    """Change one byte of a record as the database's superuser, and put it back afterwards."""
    from airlock.launcher.postgres import EmbeddedPostgres

    port = int(open_database(stack.settings.database).address.partition(":")[2].partition("/")[0])
    server = EmbeddedPostgres(Layout(stack.home).postgres, port)
    with psycopg2.connect(server.admin_dsn("airlock")) as link, link.cursor() as cursor:
        cursor.execute("ALTER TABLE airlock.ledger DISABLE TRIGGER append_only")
        cursor.execute("UPDATE airlock.ledger SET record = replace(record, 'digits', 'Digits') WHERE seq = 2")
    yield 2
    with psycopg2.connect(server.admin_dsn("airlock")) as link, link.cursor() as cursor:
        cursor.execute("UPDATE airlock.ledger SET record = replace(record, 'Digits', 'digits') WHERE seq = 2")
        cursor.execute("ALTER TABLE airlock.ledger ENABLE ALWAYS TRIGGER append_only")


def airlock(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line on the stack."""
    command = [str(Path(sys.executable).parent / "airlock"), *arguments]
    environment = {"AIRLOCK_HOME": str(stack.home), "PATH": ""}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def take_back(
    stack: Stack, run: str, dag: str = "digits_data", gate: str = "data_gate", role: str = "data_engineer"
) -> None:
    """Withdraw a gate's question as whoever started the run: one that waits holds up the next."""
    request = GateRequests(open_database(stack.settings.database)).find(dag, run, gate)
    assert request is not None
    token = str(stack.person(role).client.headers["Authorization"])
    url = f"{stack.settings.airflow}/airlock/gates/requests/{request.id}/withdraw"
    reply = httpx.post(url, json={"reason": "Tried out."}, headers={"Authorization": token}, timeout=30)
    assert reply.is_success, reply.text
    wait_for_state(stack, dag, run, gate, "skipped")


def wait_for_state(stack: Stack, dag: str, run: str, task: str, state: str, seconds: float = 120) -> None:
    """Wait until a task has a state."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        states = {str(t["task_id"]): t["state"] for t in stack.person("Admin").tasks(dag, run)}
        if states[task] == state:
            return
        time.sleep(0.2)
    raise AssertionError(f"{dag}.{task} did not become {state}: {msgspec.json.encode(states).decode()}")
