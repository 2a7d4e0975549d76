"""The gate asks once, waits without a worker, and believes nothing but a signed decision."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.operators import hitl
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSkipException,
    DownstreamTasksSkipped,
    ErrorType,
    TaskAwaitingInput,
)
from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun

from airlock import settings as settings_module
from airlock.digests import digest_bytes, short
from airlock.errors import InfrastructureError, NotApproved, UserError
from airlock.governance.decisions import Verdict
from airlock.governance.evidence import asked_in, evidence
from airlock.governance.forms import Field
from airlock.governance.people import write_people
from airlock.governance.policy import GatePolicy, Rework, Stage
from airlock.operators.gate import GateOperator, gate
from airlock.references import Artifact
from airlock.stores.gates import GateRequest
from tests.governed import Governed
from tests.operators.conftest import FakeSupervisor, context

POLICY = GatePolicy(
    stages=[Stage(roles=["data_engineer"])], rework={"Clean again": Rework(dag="digits_data", step="clean")}
)
ANSWERED = {"chosen_options": ["Approve"], "params_input": {}, "timedout": False}


class ImpatientGate(GateOperator):
    """Does not wait minutes for a decision that never comes."""

    def wait_for_closing(self, request: GateRequest, seconds: float = 0.3) -> Any:
        return super().wait_for_closing(request, seconds)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Give what was put on the Required Actions page."""
    questions: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **question: questions.append(question))
    return questions


@pytest.fixture
def manifest(governed: Governed) -> Artifact:
    governed.adopt(POLICY)
    return governed.manifest()


def make(manifest: Artifact, **changes: Any) -> ImpatientGate:
    fields = {"task_id": "data_gate", "use_case": "digits", "gate": "data", "policy": POLICY}
    return ImpatientGate(**(fields | {"manifest": msgspec.to_builtins(manifest)} | changes))


def ask(operator: GateOperator, **changes: int) -> dict[str, Any]:
    """Execute the gate until it parks; return its context."""
    told = context("data_gate")
    vars(told["ti"]).update(changes)
    with pytest.raises(TaskAwaitingInput) as parked:
        operator.execute(told)
    assert parked.value.method_name == "execute_complete"
    return told


class TestAsking:
    def test_it_shows_the_evidence_the_policy_and_which_request_it_is(
        self, governed: Governed, manifest: Artifact, asked: list[dict[str, Any]]
    ) -> None:
        ask(make(manifest))
        ((question,), (request,)) = asked, governed.requests.pending()
        assert (question["options"], question["subject"]) == (["Approve", "Clean again"], "digits: data gate")
        assert short(manifest.digest) in question["body"]
        assert "Needs a data_engineer." in question["body"]
        assert asked_in(question["body"]) == request.id
        shown = evidence(governed.artifacts, manifest.digest, "")
        assert (request.manifest, request.evidence) == (manifest.digest, digest_bytes(shown.encode()))

    def test_the_form_is_the_policys(self, governed: Governed, asked: list[dict[str, Any]]) -> None:
        form = {"risk": Field(title="Risk", options=["low", "high"]), "why": Field(title="Why")}
        policy = msgspec.structs.replace(POLICY, checklist={"card": "Card complete"}, form=form, comment_required=True)
        governed.adopt(policy)
        ask(make(governed.manifest(), policy=policy))
        form = asked[0]["params"]
        assert form["risk"]["schema"]["enum"] == ["low", "high", None], "a rejection may leave it open"
        assert [(name, field["value"], field["schema"]["type"]) for name, field in form.items()] == [
            ("card", False, "boolean"),
            ("risk", None, ["string", "null"]),
            ("why", None, ["string", "null"]),
            ("comment", "", "string"),
        ]

    @pytest.mark.parametrize(("changes", "requests"), [({"try_number": 2}, 1), ({"max_tries": 6}, 2)])
    def test_a_retry_is_the_same_question_and_a_cleared_task_asks_anew(
        self, governed: Governed, manifest: Artifact, asked: list[Any], changes: dict[str, int], requests: int
    ) -> None:
        ask(make(manifest))
        ask(make(manifest), **changes)
        assert len(governed.requests.pending()) == requests

    def test_mapped_tasks_ask_side_by_side(self, governed: Governed, manifest: Artifact, asked: list[Any]) -> None:
        ask(make(manifest), map_index=0)
        ask(make(governed.manifest()), map_index=1)
        assert [request.map_index for request in governed.requests.pending()] == [0, 1]

    def test_what_is_already_decided_is_not_asked_again(
        self, governed: Governed, manifest: Artifact, asked: list[Any]
    ) -> None:
        ask(make(manifest))
        (request,) = governed.requests.pending()
        governed.decide(request)
        record = governed.close(request, "approved")
        approved = make(manifest).execute(context("data_gate", attempt=2))
        assert approved == {"manifest": msgspec.to_builtins(manifest), "decision": record.hash}
        assert len(asked) == 1

    def test_a_policy_that_is_not_the_gates_asks_nobody(
        self, governed: Governed, manifest: Artifact, asked: list[Any]
    ) -> None:
        with pytest.raises(NotApproved, match="differs from the one in force"):
            make(manifest, policy=GatePolicy.of("data_labeler")).execute(context("data_gate"))
        assert (governed.requests.pending(), asked) == ([], [])


class TestParsing:
    """What nobody could answer is an error of the DAG, seen before it runs."""

    @pytest.fixture
    def people(self, home: Path) -> str:
        write_people(str(home / "people.json"), {"dora": ["data_engineer"], "dan": ["data_engineer", "data_labeler"]})
        return settings_module.settings().people

    def import_error(self, folder: Path, stages: str, gate: str = "gate(manifest={}") -> str:
        (folder / "dags").mkdir()
        (folder / "dags" / "some_dag.py").write_text(
            "from airflow.sdk import DAG\n"
            "from airlock.governance.policy import GatePolicy, Stage\n"
            "from airlock.operators.gate import GateOperator, gate\n"
            "with DAG('some'):\n"
            f"    policy = GatePolicy(stages=[{stages}])\n"
            f"    {gate}, use_case='digits', gate='data', policy=policy)\n"
        )
        return " ".join(DagBag(str(folder / "dags")).import_errors.values())

    @pytest.mark.parametrize(
        ("stages", "why"),
        [
            ("Stage(roles=['boss'])", "no role 'boss'"),
            ("Stage(roles=['data_engineer'], quorum=0)", "quorum of 0"),
            ("Stage(roles=[])", "without roles"),
            ("", "without stages"),
            ("Stage(roles=['data_engineer'], quorum=3)", "3 different people.*dan, dora can sign in"),
            (
                "Stage(roles=['data_labeler']), Stage(roles=['data_engineer'], quorum=2)",
                "The data gate of digits.*stage",
            ),
            ("Stage(roles=['model_validator'])", "nobody can sign in with such a role"),
        ],
    )
    def test_a_policy_nobody_could_satisfy(self, people: str, home: Path, stages: str, why: str) -> None:
        import re

        assert re.search(why, self.import_error(home, stages))

    def test_a_mapped_gate_is_checked_too(self, people: str, home: Path) -> None:
        mapped = "GateOperator.partial(task_id='g'"
        stages = "Stage(roles=['model_validator'])"
        assert "nobody can sign in" in self.import_error(home, stages, mapped)

    def test_a_policy_that_living_people_can_satisfy(self, people: str, home: Path) -> None:
        assert self.import_error(home, "Stage(roles=['data_labeler']), Stage(roles=['data_engineer'])") == ""

    def test_where_nobody_wrote_down_who_lives_nothing_is_refused(self, home: Path) -> None:
        assert self.import_error(home, "Stage(roles=['model_validator'], quorum=9)") == ""

    def test_in_a_running_task_it_is_too_late_for_that(self, people: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(os.environ, "_AIRFLOW_PARSING_CONTEXT_DAG_ID", "digits_data")
        monkeypatch.setitem(os.environ, "_AIRFLOW_PARSING_CONTEXT_TASK_ID", "ingest")
        gate(use_case="digits", gate="data", manifest={}, policy=GatePolicy.of("model_validator"))

    @pytest.mark.parametrize(
        "way_out", [{"response_timeout": timedelta(hours=1)}, {"defaults": "Approve"}, {"options": ["Approve", "Yes"]}]
    )
    def test_airflows_own_ways_to_end_the_waiting_are_refused(self, people: str, way_out: dict[str, Any]) -> None:
        with pytest.raises(UserError, match="takes no"):
            gate(use_case="digits", gate="data", manifest={}, policy=POLICY, **way_out)


class TestAnswered:
    def ended(self, governed: Governed, manifest: Artifact, verdict: Verdict, reason: str = "", user: str = "") -> Any:
        told = ask(make(manifest))
        (request,) = governed.requests.pending()
        governed.queue.put("digits/model", manifest.digest, "d")
        governed.queue.claim("digits/model", told["ti"].dag_id, told["ti"].run_id)
        if verdict == "approved":
            governed.decide(request)
        governed.close(request, verdict, user, reason)
        return told

    def test_an_approval_opens_it(self, governed: Governed, manifest: Artifact, asked: list[Any]) -> None:
        told = self.ended(governed, manifest, "approved")
        approved = make(manifest).execute_complete(told, ANSWERED)
        closed = governed.ledger.records()[-1]
        assert approved == {"manifest": msgspec.to_builtins(manifest), "decision": closed.hash}
        assert "dora (data_engineer) chose 'Approve'" in told["ti"].xcoms["summary"]["headline"]

    def test_an_answer_that_nobody_signed_opens_nothing(
        self, governed: Governed, manifest: Artifact, asked: list[Any]
    ) -> None:
        told = ask(make(manifest))
        another = governed.file(POLICY, manifest, run="another")
        governed.decide(another)
        governed.close(another, "approved")
        with pytest.raises(NotApproved, match="left no signed decision"):
            make(manifest).execute_complete(told, ANSWERED)

    def test_expiry_is_never_approval(self, governed: Governed, manifest: Artifact, asked: list[Any]) -> None:
        told = self.ended(governed, manifest, "expired", "Nobody decided within 60 s.")
        with pytest.raises(AirflowFailException, match=r"expiry is never approval.*Clear this task to ask again"):
            make(manifest).execute_complete(told, ANSWERED)
        assert "expired: Nobody decided within 60 s." in told["ti"].xcoms["summary"]["headline"]

    @pytest.mark.parametrize(
        ("verdict", "user", "said"),
        [
            ("superseded", "", "was superseded. Manifest abc is newer. Clear this task"),
            ("withdrawn", "dana", "was withdrawn by dana. Manifest abc is newer. Clear this task"),
        ],
    )
    def test_what_is_not_asked_any_more_skips_and_says_why(
        self, governed: Governed, manifest: Artifact, asked: list[Any], verdict: Verdict, user: str, said: str
    ) -> None:
        told = self.ended(governed, manifest, verdict, "Manifest abc is newer.", user)
        with pytest.raises(AirflowSkipException, match=said):
            make(manifest).execute_complete(told, {"closed": True})
        assert f"{verdict}: Manifest abc is newer." in told["ti"].xcoms["summary"]["headline"]
        item = governed.queue.of_run(told["ti"].dag_id, told["ti"].run_id)
        assert item is not None
        assert item.outcome == verdict


@pytest.mark.usefixtures("asked")
class TestRejected:
    def reject(self, governed: Governed, manifest: Artifact) -> None:
        with DAG("digits_data"):
            operator = make(manifest)
            operator >> BaseOperator(task_id="promote")
        told = ask(operator)
        (request,) = governed.requests.pending()
        governed.decide(request, "Clean again")
        governed.close(request, "rejected", reason="Clean again")
        operator.execute_complete(told, ANSWERED | {"chosen_options": ["Clean again"]})

    def test_it_starts_the_rework_and_skips_what_follows(
        self, governed: Governed, manifest: Artifact, supervisor: FakeSupervisor
    ) -> None:
        with pytest.raises(DownstreamTasksSkipped) as skipped:
            self.reject(governed, manifest)
        assert skipped.value.tasks == ["promote"]
        (started,) = supervisor.sent
        assert isinstance(started, TriggerDagRun)
        assert (started.dag_id, started.conf["rework"]["step"]) == ("digits_data", "clean")
        assert started.conf["rework"]["chain"] == [manifest.digest]
        assert (started.conf["rework"]["by"], started.conf["rework"]["note"]) == ("dora", "Looked at it.")
        assert started.conf["rework"]["origin"]["run"] == "run"
        assert "asked for by dora: Looked at it." in str(started.note)

    def test_a_rework_that_already_runs_is_left_alone(
        self, governed: Governed, manifest: Artifact, supervisor: FakeSupervisor
    ) -> None:
        supervisor.reply = ErrorResponse(error=ErrorType.DAGRUN_ALREADY_EXISTS)
        with pytest.raises(DownstreamTasksSkipped):
            self.reject(governed, manifest)

    def test_a_rework_that_cannot_start_is_tried_again(
        self, governed: Governed, manifest: Artifact, supervisor: FakeSupervisor
    ) -> None:
        supervisor.reply = ErrorResponse(error=ErrorType.GENERIC_ERROR, detail={"status_code": 404})
        with pytest.raises(InfrastructureError, match="digits_data could not be started"):
            self.reject(governed, manifest)
