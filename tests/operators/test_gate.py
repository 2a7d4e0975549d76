"""The gate asks once, waits without a worker, and believes nothing but a signed decision."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException, DownstreamTasksSkipped, ErrorType, TaskAwaitingInput
from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun

from airlock.digests import digest_bytes, short
from airlock.errors import InfrastructureError, NotApproved, UserError
from airlock.operators.gate import GateOperator, gate
from airlock.references import Artifact
from airlock.stores.gates import GateRequest
from tests.governed import Governed
from tests.operators.conftest import FakeSupervisor, context

REWORK = {"Clean again": ("digits_data", "clean")}
ANSWERED = {"chosen_options": ["Approve"], "params_input": {}, "timedout": False}


class ImpatientGate(GateOperator):
    """Does not wait half a minute for a decision that never comes."""

    def wait_for_decision(self, request: GateRequest, seconds: float = 0.3) -> Any:
        return super().wait_for_decision(request, seconds)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Give what was put on the Required Actions page."""
    questions: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **question: questions.append(question))
    return questions


@pytest.fixture
def manifest(governed: Governed) -> Artifact:
    return governed.manifest()


def make(manifest: Artifact, **changes: Any) -> ImpatientGate:
    fields = {"task_id": "data_gate", "use_case": "digits", "gate": "data", "role": "data_engineer", "rework": REWORK}
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
    def test_it_shows_the_evidence_and_the_options(
        self, governed: Governed, manifest: Artifact, asked: list[dict[str, Any]]
    ) -> None:
        ask(make(manifest))
        (question,) = asked
        assert question["options"] == ["Approve", "Clean again"]
        assert question["subject"] == "digits: data gate, for a data_engineer"
        assert short(manifest.digest) in question["body"]
        assert "| samples | 1797 | – |" in question["body"]
        (request,) = governed.requests.pending()
        assert (request.manifest, request.evidence) == (manifest.digest, digest_bytes(question["body"].encode()))

    @pytest.mark.parametrize(("changes", "requests"), [({"try_number": 2}, 1), ({"max_tries": 6}, 2)])
    def test_a_retry_is_the_same_question_and_a_cleared_task_asks_anew(
        self, governed: Governed, manifest: Artifact, asked: list[Any], changes: dict[str, int], requests: int
    ) -> None:
        ask(make(manifest))
        ask(make(manifest), **changes)
        assert len(governed.requests.pending()) == requests

    def test_what_is_already_decided_is_not_asked_again(
        self, governed: Governed, manifest: Artifact, asked: list[Any]
    ) -> None:
        ask(make(manifest))
        record = governed.decide(governed.requests.pending()[0])
        approved = make(manifest).execute(context("data_gate", attempt=2))
        assert approved == {"manifest": msgspec.to_builtins(manifest), "decision": record.hash}
        assert len(asked) == 1

    def test_an_unknown_role_is_an_error_of_the_dag(self) -> None:
        with pytest.raises(UserError, match=r"no role 'boss'.*data_engineer"):
            gate(use_case="digits", gate="data", manifest={}, role="boss")


class TestAnswered:
    def test_an_approval_opens_it(self, governed: Governed, manifest: Artifact, asked: list[Any]) -> None:
        told = ask(make(manifest))
        request = governed.requests.pending()[0]
        record = governed.decide(request)
        approved = make(manifest).execute_complete(told, ANSWERED)
        assert approved == {"manifest": msgspec.to_builtins(manifest), "decision": record.hash}
        assert governed.requests.get(request.id).state == "approved"
        assert "dora (data_engineer) chose 'Approve'" in told["ti"].xcoms["summary"]["headline"]

    def test_an_answer_that_nobody_signed_opens_nothing(
        self, governed: Governed, manifest: Artifact, asked: list[Any]
    ) -> None:
        told = ask(make(manifest))
        governed.decide(governed.requests.pending()[0], roles=["data_scientist"])
        governed.decide(governed.file(make(manifest).policy, manifest=manifest.digest))
        with pytest.raises(NotApproved, match="left no signed decision"):
            make(manifest).execute_complete(told, ANSWERED)

    @pytest.mark.parametrize("event", [ANSWERED | {"timedout": True}, {"error": "late", "error_type": "timeout"}])
    def test_expiry_is_never_approval(
        self, governed: Governed, manifest: Artifact, asked: list[Any], event: dict[str, Any]
    ) -> None:
        told = ask(make(manifest, response_timeout=timedelta(hours=1)))
        request = governed.requests.pending()[0]
        with pytest.raises(AirflowFailException, match="expiry is never approval"):
            make(manifest).execute_complete(told, event)
        assert governed.requests.get(request.id).state == "expired"


@pytest.mark.usefixtures("asked")
class TestRejected:
    def reject(self, governed: Governed, manifest: Artifact) -> None:
        with DAG("digits_data"):
            operator = make(manifest)
            operator >> BaseOperator(task_id="promote")
        told = ask(operator)
        governed.decide(governed.requests.pending()[0], "Clean again")
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
        assert "asked for by dora: Looked at it." in str(started.note)
        assert governed.requests.pending() == []

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
