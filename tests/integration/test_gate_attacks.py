"""Attempts to get a release out that nobody approved, each a test of its own; ``docs/threats.md`` says what stops them.

The release waits at its gate until :func:`deployed` approves it: everything before that is tried without an approval,
everything after it against one that is genuine.
"""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege

from airlock.deployment.admission import ledger_approval
from airlock.deployment.client import ModelClient
from airlock.digests import canonical, digest_bytes
from airlock.errors import NotApproved
from airlock.governance.approval import require_approval
from airlock.governance.manifest import DataManifest, put
from airlock.governance.signing import create_keypair, load_signer
from airlock.references import DatasetVersion, LabelSet
from airlock.stores.database import Database
from airlock.stores.deployments import Deployments
from airlock.stores.ledger import Ledger
from airlock.stores.queue import PromotionQueue
from tests.integration.attacks import DAG, TASK, Target, wait_until
from tests.integration.conftest import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

WRONG = ["Viewer", "User", "Op", "Admin", "mallory", "data_engineer", "data_scientist", "data_labeler"]
WRONG += ["model_validator", "software_engineer"]
SUCCESS = {"new_state": "success"}
CLEAR = {"dry_run": False, "only_failed": False}
Way = Callable[[Target], tuple[str, str, Any]]


@pytest.fixture(scope="module")
def target(stack: Stack) -> Target:
    """A release that waits for its gate."""
    return Target(stack)


@pytest.fixture
def unmoved(target: Target) -> Iterator[Target]:
    """The target, which must wait after the test as before it."""
    yield target
    assert target.still_asks()


class TestAnswering:
    """Airflow lets whoever may edit human-in-the-loop details answer any of them."""

    @pytest.mark.parametrize("role", WRONG)
    @pytest.mark.parametrize("option", ["Approve", "Compress again"])
    def test_as_somebody_without_the_role(self, unmoved: Target, role: str, option: str) -> None:
        assert unmoved.person(role).answer(DAG, unmoved.run, TASK, option, "Let me.").status_code == 403

    def test_as_nobody(self, unmoved: Target) -> None:
        url = f"{unmoved.stack.settings.airflow}/api/v2{unmoved.at}/-1/hitlDetails"
        reply = httpx.patch(url, json={"chosen_options": ["Approve"], "params_input": {}})
        assert reply.status_code in (401, 403)

    def test_with_a_forged_token(self, unmoved: Target) -> None:
        head, body, _ = unmoved.person("devops_engineer").client.headers["Authorization"].split(".")
        headers = {"Authorization": f"{head}.{body}.{'A' * 86}"}
        url = f"{unmoved.stack.settings.airflow}/api/v2{unmoved.at}/-1/hitlDetails"
        reply = httpx.patch(url, json={"chosen_options": ["Approve"], "params_input": {}}, headers=headers)
        assert reply.status_code in (401, 403)

    def test_with_a_persons_token_at_the_interface_of_tasks(self, unmoved: Target) -> None:
        body = {"ti_id": unmoved.instance, "chosen_options": ["Approve"], "params_input": {}}
        status, _ = unmoved.raw(
            "PATCH", f"/execution/hitlDetails/{unmoved.instance}", json.dumps(body).encode(), "devops_engineer"
        )
        assert status in (401, 403)

    def test_with_the_second_of_two_equal_keys(self, unmoved: Target) -> None:
        body = b'{"chosen_options": ["Nonsense"], "chosen_options": ["Approve"], "params_input": {}}'
        assert unmoved.raw("PATCH", f"/api/v2{unmoved.at}/-1/hitlDetails", body)[0] == 403


WAYS: dict[str, Way] = {
    "marking it successful": lambda t: ("PATCH", t.at, SUCCESS),
    "marking it failed": lambda t: ("PATCH", t.at, {"new_state": "failed"}),
    "marking it skipped": lambda t: ("PATCH", t.at, {"new_state": "skipped"}),
    "marking its map index": lambda t: ("PATCH", f"{t.at}/-1", SUCCESS),
    "marking what comes before and after": lambda t: (
        "PATCH",
        _at(t, "package"),
        SUCCESS | {"include_downstream": True},
    ),
    "marking what it lets through": lambda t: (
        "PATCH",
        t.at.replace(TASK, "deploy"),
        SUCCESS | {"include_upstream": True},
    ),
    "marking all runs": lambda t: ("PATCH", t.at, SUCCESS | {"include_past": True, "include_future": True}),
    "marking in bulk": lambda t: (
        "PATCH",
        f"/dags/{DAG}/dagRuns/{t.run}/taskInstances",
        {"actions": [{"action": "update", "entities": [{"task_id": TASK} | SUCCESS]}]},
    ),
    "marking in bulk under wildcards": lambda t: (
        "PATCH",
        "/dags/~/dagRuns/~/taskInstances",
        {"actions": [{"action": "update", "entities": [_place(t) | SUCCESS]}]},
    ),
    "marking in bulk through another DAG": lambda t: (
        "PATCH",
        "/dags/digits_data/dagRuns/none/taskInstances",
        {"actions": [{"action": "update", "entities": [_place(t) | {"map_index": -1} | SUCCESS]}]},
    ),
    "deleting it": lambda t: ("DELETE", t.at, None),
    "deleting it in bulk": lambda t: (
        "PATCH",
        f"/dags/{DAG}/dagRuns/{t.run}/taskInstances",
        {"actions": [{"action": "delete", "entities": [TASK]}]},
    ),
    "clearing it": lambda t: (
        "POST",
        f"/dags/{DAG}/clearTaskInstances",
        CLEAR | {"dag_run_id": t.run, "task_ids": [TASK]},
    ),
    "clearing its map index": lambda t: (
        "POST",
        f"/dags/{DAG}/clearTaskInstances",
        CLEAR | {"dag_run_id": t.run, "task_ids": [[TASK, -1]]},
    ),
    "clearing from before it": lambda t: (
        "POST",
        f"/dags/{DAG}/clearTaskInstances",
        CLEAR | {"dag_run_id": t.run, "task_ids": ["package"], "include_downstream": True},
    ),
    "clearing everything": lambda t: ("POST", f"/dags/{DAG}/clearTaskInstances", CLEAR),
    "marking its run successful": lambda t: ("PATCH", f"/dags/{DAG}/dagRuns/{t.run}", {"state": "success"}),
    "marking its run failed": lambda t: ("PATCH", f"/dags/{DAG}/dagRuns/{t.run}", {"state": "failed"}),
    "marking runs in bulk": lambda t: (
        "PATCH",
        "/dags/~/dagRuns",
        {"actions": [{"action": "update", "entities": [{"dag_id": DAG, "dag_run_id": t.run, "state": "success"}]}]},
    ),
    "clearing its run": lambda t: ("POST", f"/dags/{DAG}/dagRuns/{t.run}/clear", {"dry_run": False}),
    "clearing runs in bulk": lambda t: (
        "POST",
        "/dags/~/clearDagRuns",
        {"dry_run": False, "dag_runs": [{"dag_id": DAG, "dag_run_id": t.run}]},
    ),
    "clearing its partition": lambda t: (
        "POST",
        f"/dags/{DAG}/clearPartitions",
        {"dry_run": False, "run_id": t.run, "clear_task_instances": True},
    ),
    "deleting its run": lambda t: ("DELETE", f"/dags/{DAG}/dagRuns/{t.run}", None),
    "deleting runs in bulk": lambda t: (
        "PATCH",
        f"/dags/{DAG}/dagRuns",
        {"actions": [{"action": "delete", "entities": [t.run]}]},
    ),
    "deleting its DAG": lambda t: ("DELETE", f"/dags/{DAG}", None),
    "forging its XCom": lambda t: (
        "POST",
        f"{t.at}/xcomEntries",
        {"key": "return_value", "value": {"manifest": t.release, "decision": "sha256:0"}},
    ),
    "editing its XCom": lambda t: ("PATCH", f"{t.at}/xcomEntries/return_value", {"value": 1}),
    "deleting its XCom": lambda t: ("DELETE", f"{t.at}/xcomEntries/return_value", None),
    "writing its state": lambda t: ("PUT", f"{t.at}/state-store/decided", {"value": "yes"}),
    "saying that it was approved": lambda t: ("POST", "/assets/events", {"asset_id": _asset(t)}),
}


class TestWalkingRound:
    """Airflow lets whoever may edit task instances, runs, XComs or assets do all of this."""

    @pytest.mark.parametrize("role", ["Op", "Admin"])
    @pytest.mark.parametrize("way", WAYS)
    def test_by(self, unmoved: Target, role: str, way: str) -> None:
        method, path, body = WAYS[way](unmoved)
        reply = unmoved.person(role).client.request(method, path, json=body)
        assert reply.status_code == 403, reply.text
        if role == "Admin":  # whom Airflow would have let
            hints = ("under Gates", "airlock gate withdraw", "airflow db clean")
            assert any(hint in reply.text for hint in hints), reply.text

    @pytest.mark.parametrize("role", ["Viewer", "data_engineer", "devops_engineer"])
    def test_by_marking_it_as_somebody_who_may_not(self, unmoved: Target, role: str) -> None:
        assert unmoved.person(role).client.patch(unmoved.at, json=SUCCESS).status_code == 403

    @pytest.mark.parametrize(
        "spelt",
        [
            "attacked%2FdagRuns/{run}/taskInstances/release_gate",
            "attacked/dagRuns/{run}/taskInstances/release%5Fgate",
            "attacked/dagRuns/{run}/taskInstances/release%255Fgate",
            "attacked/dagRuns/{run}/taskInstances/release_gate/",
            "attacked/dagRuns/{run}/taskInstances/RELEASE_GATE",
            "attacked//dagRuns/{run}/taskInstances/release_gate",
            "x/../attacked/dagRuns/{run}/taskInstances/release_gate",
            "attacked/dagRuns/{run}/taskInstances/release_gate;v=1",
            "attacked/dagRuns/{run}/taskInstances/release_gate%00",
            "attacked/dagRuns/{run}/taskInstances/release_gate%20",
            "attacked/dagRuns/{run}/taskInstances/release_gate?update_mask=new_state",
            "attacked/dagRuns/{run}/taskInstances/release_gate/-1?map_index=5",
            "~/dagRuns/~/taskInstances/release_gate",
        ],
    )
    def test_by_spelling_the_path_otherwise(self, unmoved: Target, spelt: str) -> None:
        run = unmoved.run.replace("+", "%2B")
        status, _ = unmoved.raw("PATCH", f"/api/v2/dags/{spelt.format(run=run)}", json.dumps(SUCCESS).encode())
        assert status >= 300

    @pytest.mark.parametrize("name", ["X_HTTP_Method_Override", "X_HTTP_Method", "X_Method_Override"])
    def test_by_overriding_the_method(self, unmoved: Target, name: str) -> None:
        path = f"/api/v2{unmoved.at}".replace("+", "%2B")
        assert unmoved.raw("POST", path, json.dumps(SUCCESS).encode(), **{name: "PATCH"})[0] >= 400
        assert unmoved.raw("PATCH", path, json.dumps(SUCCESS).encode(), **{name: "GET"})[0] == 403
        assert unmoved.raw("PATCH", f"{path}?_method=GET", json.dumps(SUCCESS).encode())[0] == 403

    @pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "patch", "GET"])
    def test_by_a_method_that_reads(self, unmoved: Target, method: str) -> None:
        path = f"/api/v2{unmoved.at}".replace("+", "%2B")
        unmoved.raw(method, path, json.dumps(SUCCESS).encode())

    @pytest.mark.parametrize("body", ["compressed", "huge", "doubled", "utf-16"])
    def test_by_a_body_that_is_read_otherwise(self, unmoved: Target, body: str) -> None:
        path, plain = f"/api/v2{unmoved.at}".replace("+", "%2B"), json.dumps(SUCCESS).encode()
        sent = {
            "compressed": (gzip.compress(plain), {"Content_Encoding": "gzip"}),
            "huge": (plain[:-1] + b', "note": "' + b"x" * (2 << 20) + b'"}', {}),
            "doubled": (b'{"new_state": "nonsense", "new_state": "success"}', {}),
            "utf-16": (plain.decode().encode("utf-16"), {}),
        }[body]
        assert unmoved.raw("PATCH", path, sent[0], **sent[1])[0] in (403, 422)

    def test_by_a_body_in_pieces(self, unmoved: Target) -> None:
        client = unmoved.person("Admin").client
        pieces = (bytes([byte]) for byte in json.dumps(SUCCESS).encode())
        reply = client.patch(unmoved.at, content=pieces, headers={"Content-Type": "application/json"})
        assert reply.status_code == 403


def _place(target: Target) -> dict[str, Any]:
    return {"dag_id": DAG, "dag_run_id": target.run, "task_id": TASK}


def _at(target: Target, task: str) -> str:
    return f"/dags/{DAG}/dagRuns/{target.run}/taskInstances/{task}"


def _asset(target: Target) -> int:
    found = target.people["Admin"].client.get("/assets", params={"name_pattern": "attacked/approved-data"}).json()
    return int(found["assets"][0]["id"])


ACCOUNTS: dict[str, tuple[str, str, Any]] = {
    "giving oneself the role": ("PATCH", "/fab/v1/users/admin", {"roles": [{"name": "devops_engineer"}]}),
    "setting the approvers password": ("PATCH", "/fab/v1/users/otto", {"password": "mine-now"}),
    "deleting the approver": ("DELETE", "/fab/v1/users/otto", None),
    "making an account": (
        "POST",
        "/fab/v1/users",
        {
            "username": "otto2",
            "password": "x",
            "email": "o@x.invalid",
            "first_name": "O",
            "last_name": "O",
            "roles": [{"name": "devops_engineer"}],
        },
    ),
    "widening a role": ("PATCH", "/fab/v1/roles/Admin", {"name": "devops_engineer", "actions": []}),
    "making a role": ("POST", "/fab/v1/roles", {"name": "devops_engineers", "actions": []}),
    "the page that sets a password": ("POST", "/resetpassword/form?pk=6", None),
    "the page that edits an account": ("POST", "/users/edit/6", None),
    "the page that deletes an account": ("GET", "/users/delete/6", None),
    "an action on accounts": ("GET", "/users/action/muldelete/6", None),
    "the page under a doubled slash": ("POST", "//users/edit/6", None),
}


class TestAccounts:
    """Airflow lets an Admin manage accounts and roles."""

    @pytest.mark.parametrize("how", ACCOUNTS)
    def test_by(self, unmoved: Target, how: str) -> None:
        method, path, body = ACCOUNTS[how]
        status, said = unmoved.raw(method, f"/auth{path}", json.dumps(body).encode() if body else b"")
        assert status == 403 or "//" in path, said
        assert "Accounts are not managed here" in said or "//" in path

    def test_the_approver_can_still_sign_in(self, unmoved: Target) -> None:
        user = unmoved.stack.users["devops_engineer"]
        body = {"username": user.username, "password": user.password}
        assert httpx.post(f"{unmoved.stack.settings.airflow}/auth/token", json=body).is_success


class TestOtherRoutes:
    """What an Admin may do in Airflow that has nothing to do with the gate opens nothing either."""

    def test_a_variable_named_like_the_gate(self, unmoved: Target) -> None:
        admin = unmoved.person("Admin").client
        assert admin.post("/variables", json={"key": "airlock_release_gate", "value": "approved"}).is_success

    def test_a_connection_named_like_the_database(self, unmoved: Target) -> None:
        body = {"connection_id": "airlock_database", "conn_type": "airlock_database", "host": "127.0.0.1"}
        assert unmoved.person("Admin").client.post("/connections", json=body).is_success

    def test_a_pool_of_its_own(self, unmoved: Target) -> None:
        assert unmoved.person("Admin").client.post("/pools", json={"name": "release", "slots": 1}).is_success

    def test_a_run_that_names_what_nobody_approved(self, unmoved: Target) -> None:
        run = unmoved.person("Admin").trigger("attacked_next", {"manifest": unmoved.request.manifest})
        unmoved.wait("claim", "failed", dag="attacked_next", run=run)

    def test_a_run_that_says_it_is_a_rework(self, unmoved: Target) -> None:
        conf = {"rework": {"step": "claim", "chain": [unmoved.request.manifest], "note": ""}}
        run = unmoved.person("Admin").trigger("attacked_next", conf)
        unmoved.wait("claim", "skipped", dag="attacked_next", run=run)

    def test_an_entry_in_the_promotion_queue(self, unmoved: Target) -> None:
        PromotionQueue(unmoved.database).put("attacked/next", unmoved.request.manifest, "sha256:" + "0" * 64)
        run = unmoved.person("Admin").trigger("attacked_next")
        unmoved.wait("claim", "failed", dag="attacked_next", run=run)


REFUSED_SQL = {
    "rewriting a record": "UPDATE airlock.ledger SET record = record",
    "deleting the ledger": "DELETE FROM airlock.ledger",
    "emptying the ledger": "TRUNCATE airlock.ledger",
    "inserting a record": "INSERT INTO airlock.ledger (seq, record, hash, signature) VALUES (0, '{}', '', '')",
    "switching the trigger off": "ALTER TABLE airlock.ledger DISABLE TRIGGER append_only",
    "replacing the check": "CREATE OR REPLACE FUNCTION airlock.refuse_change() RETURNS trigger LANGUAGE sql AS ''",
    "appending past the check": "SELECT airlock.append_any('{}', '')",
    "writing an answer ahead": (
        "INSERT INTO airlock.gate_answer (request, body, state, created) VALUES ('', '{}', 'prepared', 0)"
    ),
    "settling an answer": "UPDATE airlock.gate_answer SET state = 'recorded'",
    "rewriting a wish": "UPDATE airlock.deployment SET manifest = ''",
    "becoming the guard": "SET ROLE airlock_guard",
}


class TestDatabase:
    """Every task connects as the application's role."""

    @pytest.mark.parametrize("how", REFUSED_SQL)
    def test_by(self, unmoved: Target, how: str) -> None:
        with pytest.raises(psycopg2.Error) as refused:
            unmoved.column(REFUSED_SQL[how])
        assert isinstance(refused.value, InsufficientPrivilege) or "append" in str(refused.value)

    @pytest.mark.parametrize("kind", ["decision", "closed", "policy", "void"])
    def test_by_appending_what_nobody_signed(self, unmoved: Target, kind: str) -> None:
        with pytest.raises(psycopg2.Error, match="only the guard appends this kind"):
            unmoved.column("SELECT airlock.append(%s)", (forged(unmoved.ledger, kind, unmoved.request.manifest),))

    def test_by_appending_what_another_key_signed(self, unmoved: Target) -> None:
        text = forged(unmoved.ledger, "closed", unmoved.request.manifest, key_id="mine")
        with pytest.raises(InsufficientPrivilege):
            unmoved.column("SELECT airlock.append_signed(%s, %s)", (text, "anQ="))

    def test_by_filing_a_request_that_no_task_asks(self, unmoved: Target) -> None:
        body = {"use_case": DAG, "request": "0" * 64, "manifest": unmoved.request.manifest}
        unmoved.ledger.append("request", body)
        assert "0" * 64 not in unmoved.book().requests

    def test_by_saying_that_it_was_deployed(self, unmoved: Target) -> None:
        unmoved.ledger.append("deployment", {"use_case": DAG, "manifest": unmoved.request.manifest, "decision": ""})
        with pytest.raises(NotApproved):
            require_approval(unmoved.ledger, unmoved.request.manifest, "release", unmoved.keys, DAG)

    def test_by_wishing_for_a_deployment(self, unmoved: Target) -> None:
        deployments = Deployments(unmoved.database)
        deployments.want(DAG, "local", unmoved.request.manifest, "sha256:" + "0" * 64)
        wait_until(lambda: (deployments.observed(DAG, "local") or None).state == "refused", "the wish is refused")  # type: ignore[union-attr]
        with ModelClient(f"{unmoved.stack.settings.serving}/{DAG}") as client:
            assert client.manifest() is None


@pytest.fixture(scope="module")
def rogue(target: Target) -> dict[str, dict[str, Any]]:
    """A DAG author's attempts: task to its instance, when all have ended or wait."""
    question = target.people["Admin"].question(DAG, target.run, TASK)["body"]
    conf = {"release": target.release, "gate": target.instance, "question": question}
    run = target.people["data_engineer"].trigger("rogue", conf)
    settled = {"success", "failed", "upstream_failed", "skipped", "awaiting_input"}

    def done() -> bool:
        tasks = target.instances("rogue", run).values()
        return bool(tasks) and all(task["state"] in settled for task in tasks)

    wait_until(done, "the rogue DAG came to its end", 300)
    time.sleep(3.5)  # the gates' minimum age
    return target.instances("rogue", run) | {"run": {"id": run}}


class TestDagAuthor:
    """Airflow runs whatever a DAG says."""

    @pytest.mark.parametrize(
        "task",
        [
            "deploy_without_gate",
            "deploy_on_forged_xcom",
            "deploy_by_another_gate",
            "deploy_for_another_use_case",
            "promote_without_gate",
            "weak_gate",
            "own_gate",
            "answer_for_others",
        ],
    )
    def test_by(self, unmoved: Target, rogue: dict[str, Any], task: str) -> None:
        assert rogue[task]["state"] == "failed"

    @pytest.mark.parametrize("task", ["lyinggate", "embellishinggate", "borrowinggate"])
    def test_by_a_question_that_lies(self, unmoved: Target, rogue: dict[str, Any], task: str) -> None:
        assert rogue[task]["state"] == "awaiting_input"
        reply = unmoved.person("devops_engineer").answer("rogue", rogue["run"]["id"], task, "Approve", "Fine.")
        assert (reply.status_code, "is not what request" in reply.text) == (403, True), reply.text


@pytest.fixture(scope="module")
def small(target: Target) -> tuple[str, str]:
    """The run of three small gates, parked, and the manifest they ask about."""
    some = target.store.put(b"something")
    manifest = DataManifest(
        use_case=DAG,
        classes=["zero", "one"],
        dataset=DatasetVersion(name=DAG, version=1, digest="sha256:d", rows=2),
        labels=LabelSet(digest="sha256:l", dataset="sha256:d", rows=2),
        split=some,
        report=some,
        dropped=some,
        counts={"train": 1, "test": 1},
    )
    made = put(target.store, manifest)
    conf = {"manifest": {"digest": made.digest, "size": made.size}}
    run = target.people["data_engineer"].trigger("attacked_gates", conf)
    target.wait("four_eyes_gate", "awaiting_input", dag="attacked_gates", run=run)
    target.wait("withdrawn_gate", "awaiting_input", dag="attacked_gates", run=run)
    time.sleep(2.5)  # the window of the one, the minimum age of the others
    return run, made.digest


class TestTooLateOrTheWrongPerson:
    def test_the_submitter_with_the_right_role(self, target: Target, small: tuple[str, str]) -> None:
        reply = target.person("data_engineer").answer("attacked_gates", small[0], "four_eyes_gate", "Approve", "Mine.")
        assert (reply.status_code, "submitter is excluded" in reply.text) == (403, True), reply.text

    def test_an_answer_to_a_request_that_expired(self, target: Target, small: tuple[str, str]) -> None:
        reply = target.person("model_validator").answer("attacked_gates", small[0], "brief_gate", "Approve", "Late.")
        assert reply.status_code in (403, 404, 409), reply.text
        with pytest.raises(NotApproved):
            require_approval(target.ledger, small[1], "brief", target.keys, DAG)

    def test_an_answer_to_a_request_that_was_withdrawn(self, target: Target, small: tuple[str, str]) -> None:
        asked = target.requests.find("attacked_gates", small[0], "withdrawn_gate")
        assert asked is not None
        url = f"{target.stack.settings.airflow}/airlock/gates/requests/{asked.id}/withdraw"
        dana = target.person("data_engineer").client
        assert httpx.post(url, json={"reason": "A mistake."}, headers=dana.headers).is_success
        reply = target.person("model_validator").answer(
            "attacked_gates", small[0], "withdrawn_gate", "Approve", "Late."
        )
        assert reply.status_code in (403, 404, 409), reply.text
        with pytest.raises(NotApproved):
            require_approval(target.ledger, small[1], "withdrawn", target.keys, DAG)

    def test_deleting_the_run_that_says_who_submitted(self, target: Target, small: tuple[str, str]) -> None:
        reply = target.person("Admin").client.delete(f"/dags/attacked_gates/dagRuns/{small[0]}")
        assert (reply.status_code, "must stay on record" in reply.text) == (403, True)


@pytest.fixture(scope="module")
def deployed(target: Target) -> Target:
    """The release, approved by the right person and deployed, after an attempt with altered bytes."""
    listing = target.store.listing(target.package)
    digest = str(max(listing.values(), key=lambda entry: int(entry["size"]))["digest"]).removeprefix("sha256:")
    (path,) = [found for found in (target.stack.home / "artifacts").rglob(f"*{digest[4:]}*") if found.is_file()]
    genuine = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(genuine[:-1] + bytes([genuine[-1] ^ 1]))
    reply = target.person("devops_engineer").answer(DAG, target.run, TASK, "Approve", "Looked at it.")
    assert reply.is_success, reply.text
    target.wait("deploy", "failed", 180)
    target.served_while_altered = target.deployments()  # type: ignore[attr-defined]
    path.write_bytes(genuine)
    body = {"dry_run": False, "dag_run_id": target.run, "task_ids": ["deploy"]}
    assert target.person("Admin").client.post(f"/dags/{DAG}/clearTaskInstances", json=body).is_success
    target.wait("deploy", "success", 240)
    return target


def serving(target: Target) -> str | None:
    """What the endpoint itself says it serves."""
    with ModelClient(f"{target.stack.settings.serving}/{DAG}") as client:
        return client.manifest()


class TestAfterAnApproval:
    """A genuine approval is for one manifest of one use case at one gate, and for no bytes but its own."""

    def test_altered_bytes_behind_the_approved_digest(self, deployed: Target) -> None:
        assert deployed.served_while_altered == []  # type: ignore[attr-defined]

    def test_the_approved_release_serves(self, deployed: Target) -> None:
        assert serving(deployed) == deployed.request.manifest
        require_approval(deployed.ledger, deployed.request.manifest, "release", deployed.keys, DAG)

    @pytest.mark.parametrize("what", ["another digest", "another gate", "another use case"])
    def test_the_approval_used_for(self, deployed: Target, what: str) -> None:
        digest = deployed.request.manifest
        manifest = "sha256:" + "0" * 64 if what == "another digest" else digest
        gate = "data" if what == "another gate" else "release"
        use_case = "digits" if what == "another use case" else DAG
        with pytest.raises(NotApproved, match="There is no decision"):
            require_approval(deployed.ledger, manifest, gate, deployed.keys, use_case)

    @pytest.mark.parametrize("use_case", [DAG, "digits", "nothing"])
    def test_a_wish_for_something_else(self, deployed: Target, use_case: str) -> None:
        wanted = deployed.package.digest if use_case == DAG else deployed.request.manifest
        deployments = Deployments(deployed.database)
        generation = deployments.want(use_case, "local", wanted, "sha256:" + "0" * 64)

        def refused() -> bool:
            seen = deployments.observed(use_case, "local")
            return seen is not None and (seen.generation, seen.state) == (generation, "refused")

        wait_until(refused, "the wish is refused")
        assert serving(deployed) == deployed.request.manifest

    def test_a_moved_alias(self, deployed: Target) -> None:
        url = f"{deployed.stack.settings.tracking}/api/2.0/mlflow/registered-models"
        name = httpx.get(f"{url}/search", params={"max_results": 50}).json()["registered_models"][0]["name"]
        body = {"name": name, "alias": "champion", "version": "1"}
        assert httpx.post(f"{url}/alias", json=body).is_success
        time.sleep(1.5)  # the reconciler looks once a second
        assert serving(deployed) == deployed.request.manifest

    def test_editing_what_the_gate_passed_on(self, deployed: Target) -> None:
        body = {"value": {"manifest": {"digest": deployed.package.digest}, "decision": ""}}
        reply = deployed.person("Admin").client.patch(f"{deployed.at}/xcomEntries/return_value", json=body)
        assert reply.status_code == 403

    def test_answering_again(self, deployed: Target) -> None:
        reply = deployed.person("devops_engineer").answer(DAG, deployed.run, TASK, "Compress again", "No!")
        assert reply.status_code in (403, 409), reply.text


def forged(ledger: Ledger, kind: str, manifest: str, key_id: str = "", **changes: Any) -> str:
    """The text of a record that would follow the last one."""
    last = ledger.records()[-1]
    body = {"use_case": DAG, "gate": "release", "manifest": manifest, "request": "0" * 64, "verdict": "approved"}
    fields = {"seq": last.seq + 1, "kind": kind, "use_case": DAG, "body": body | changes, "previous": last.hash}
    return canonical(fields | {"key_id": key_id, "created": time.time()}).decode()


def put_record(copy: Database, text: str, signature: str = "") -> None:
    """Insert a record as somebody who has the database can."""
    seq = json.loads(text)["seq"]
    with copy.transaction() as cursor:
        values = (seq, text, digest_bytes(text.encode()), signature)
        cursor.execute("INSERT INTO airlock.ledger VALUES (%s, %s, %s, %s)", values)


def run_sql(statement: str) -> Callable[[Database, Target, Path], None]:
    def change(copy: Database, _target: Target, _folder: Path) -> None:
        with copy.transaction() as cursor:
            cursor.execute(statement)

    return change


def replay_record(copy: Database, _target: Target, _folder: Path) -> None:
    """Append the genuine approval once more."""
    ledger = Ledger(copy)
    genuine = next(record for record in reversed(ledger.records()) if record.kind == "closed")
    fields = json.loads(genuine.text) | {"seq": ledger.records()[-1].seq + 1, "previous": ledger.records()[-1].hash}
    put_record(copy, canonical(fields).decode(), genuine.signature)


def sign_with_another_key(copy: Database, target: Target, folder: Path) -> None:
    """Append an approval that a key of one's own signed."""
    signer = load_signer(path=create_keypair(folder / "keys"))
    text = forged(Ledger(copy), "closed", target.request.manifest, signer.key_id)
    put_record(copy, text, signer.sign(digest_bytes(text.encode()).encode()))


def leave_unsigned(copy: Database, target: Target, _folder: Path) -> None:
    """Append an approval that nobody signed."""
    put_record(copy, forged(Ledger(copy), "closed", target.request.manifest))


CHANGES: dict[str, Callable[[Database, Target, Path], None]] = {
    "edited": run_sql("UPDATE airlock.ledger SET record = replace(record, 'Looked at it.', 'Never saw it.')"),
    "edited with a matching hash": run_sql(
        "UPDATE airlock.ledger SET record = replace(record, 'approved', 'rejected'),"
        " hash = 'sha256:' || encode(sha256(convert_to(replace(record, 'approved', 'rejected'), 'UTF8')), 'hex')"
    ),
    "reordered": run_sql("UPDATE airlock.ledger SET seq = CASE seq WHEN 1 THEN 2 ELSE 1 END WHERE seq IN (1, 2)"),
    "without one in the middle": run_sql("DELETE FROM airlock.ledger WHERE seq = 3"),
    "truncated": run_sql(
        "DELETE FROM airlock.ledger WHERE seq >= (SELECT max(seq) FROM airlock.ledger WHERE signature <> '')"
    ),
    "emptied": run_sql("DELETE FROM airlock.ledger"),
    "with swapped signatures": run_sql("UPDATE airlock.ledger SET signature = 'AAAA' WHERE signature <> ''"),
    "with an approval replayed": replay_record,
    "with an approval signed by another key": sign_with_another_key,
    "with an approval nobody signed": leave_unsigned,
}


class TestLedger:
    """Whoever has the database's files can write anything into the ledger; it must not verify any more."""

    def test_an_honest_copy_verifies(self, deployed: Target) -> None:
        with deployed.copied_ledger() as copy:
            ledger_approval(copy, deployed.keys)(DAG, deployed.request.manifest)

    @pytest.mark.parametrize("how", CHANGES)
    def test_records(self, deployed: Target, how: str, tmp_path: Path) -> None:
        with deployed.copied_ledger() as copy:
            CHANGES[how](copy, deployed, tmp_path)
            with pytest.raises(NotApproved, match="does not verify"):
                ledger_approval(copy, deployed.keys)(DAG, deployed.request.manifest)


class TestInTheEnd:
    def test_nothing_was_deployed_that_nobody_approved(self, deployed: Target) -> None:
        ready = deployed.column(
            "SELECT DISTINCT use_case || ' ' || manifest FROM airlock.deployment"
            " JOIN airlock.observation USING (generation) WHERE ready IS NOT NULL"
        )
        assert f"{DAG} {deployed.request.manifest}" in ready
        for use_case, manifest in (entry.split() for entry in ready):
            require_approval(deployed.ledger, manifest, "release", deployed.keys, use_case)
        assert deployed.deployments() == [deployed.request.manifest]
        assert serving(deployed) == deployed.request.manifest
