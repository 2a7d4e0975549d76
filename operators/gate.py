"""The gate: where the lifecycle stops until people in a named role decide about exactly one manifest."""

import time
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowFailException, DownstreamTasksSkipped

from airlock.digests import digest_bytes, digest_document, short
from airlock.errors import NotApproved
from airlock.governance.approval import approval_of_request
from airlock.governance.decisions import Decision
from airlock.governance.evidence import evidence
from airlock.governance.manifest import chain
from airlock.governance.policy import GatePolicy, Rework
from airlock.governance.signing import public_keys
from airlock.hooks.artifacts import ArtifactsHook
from airlock.hooks.database import DatabaseHook
from airlock.operators.links import MANIFEST
from airlock.operators.outputs import NamedOutputs
from airlock.operators.step import unmapped
from airlock.operators.trigger import start_rework
from airlock.settings import settings
from airlock.stores.gates import GateRequest, GateRequests
from airlock.stores.ledger import Ledger

if TYPE_CHECKING:
    from airflow.sdk import Context

APPROVE = "Approve"


class GateOperator(NamedOutputs, HITLOperator):
    """Stop until the right people approve one manifest, or send it back with a note.

    How it works: files a gate request (what is asked, under which policy, on which evidence), then parks in
    Airflow's ``awaiting_input`` state, holding no worker slot. The answer may come from Airflow's Required Actions
    page or its REST API; the gate guard in the API server checks the person's role and signs the decision. The task
    then completes only on that signed decision in the ledger.

    What it does not do: trust an answer by itself. Marking this task successful leaves no signed decision, so
    whatever the gate protects refuses to act.

    :param use_case: name of the use case.
    :param gate: name of the gate, for example ``data``.
    :param manifest: the manifest to decide about.
    :param role: the role that decides.
    :param rework: option to where it goes back to, ``{"Train again": ("digits_model", "train")}``; a task of the
        DAG named is run again with the reviewer's note.
    :param minimum_age: seconds a request stays closed for answers; Airflow loses answers that come while the
        parking run is still being recorded.
    :param comment_required: refuse an answer without a comment.
    """

    template_fields: Sequence[str] = ("subject", "body", "manifest")
    operator_extra_links = (MANIFEST,)
    ui_color = "#f6c945"

    def __init__(
        self,
        *,
        use_case: str,
        gate: str,
        manifest: Any,
        role: str,
        rework: dict[str, tuple[str, str]] | None = None,
        minimum_age: float = 3.0,
        comment_required: bool = False,
        response_timeout: timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        self.policy = GatePolicy(
            role=role,
            minimum_age=minimum_age,
            comment_required=comment_required,
            rework={option: Rework(dag=dag, step=step) for option, (dag, step) in (rework or {}).items()},
        )
        # A retry finds the decision that is already on record, so an answer lost by the scheduler is not asked twice.
        kwargs.setdefault("retries", 3)
        kwargs.setdefault("retry_delay", timedelta(seconds=5))
        super().__init__(
            subject=f"{use_case}: {gate} gate, for a {role}",
            options=[APPROVE, *self.policy.rework],
            params={"comment": comment_field(required=comment_required)},
            response_timeout=response_timeout,
            **kwargs,
        )
        self.use_case = use_case
        self.gate = gate
        self.manifest = manifest
        self.result_links: dict[str, str] = {}

    @cached_property
    def requests(self) -> GateRequests:
        return GateRequests(DatabaseHook().get_conn())

    def execute(self, context: "Context") -> Any:
        """File the request and park, unless a decision about it is already on record."""
        request = self.request(context)
        if self.decision(request) is not None:
            return self.complete(context, request)
        self.requests.open(request)
        self.log.info("Gate %s waits for a %s to decide about manifest %s.", self.gate, self.policy.role, self.short)
        return super().execute(context)

    def execute_complete(self, context: "Context", event: dict[str, Any]) -> Any:
        """Act on the signed decision that the answer left in the ledger."""
        request = self.request(context)
        if "error" in event or event.get("timedout"):
            self.requests.close(request.id, "expired")
            raise AirflowFailException(
                f"Nobody decided about manifest {self.short} within {self.response_timeout}: expiry is never approval. "
                "Clear this task to ask again."
            )
        return self.complete(context, request)

    def complete(self, context: "Context", request: GateRequest) -> dict[str, Any]:
        """Return the approved manifest and its decision, or start the rework the decision names."""
        decision, record = self.wait_for_decision(request)
        context["ti"].xcom_push(key="summary", value={"headline": sentence(decision), "cached": False})
        if decision.approved:
            self.requests.close(request.id, "approved")
            return {"manifest": self.manifest, "decision": record}
        self.requests.close(request.id, "rejected")
        rework = self.policy.rework[decision.option]
        start_rework(rework, decision, list(chain(self.artifacts, self.digest)), run_id=f"rework__{request.id[:12]}")
        self.log.info("%s Started %s at %s.", sentence(decision), rework.dag, rework.step)
        raise DownstreamTasksSkipped(tasks=sorted(self.downstream_task_ids))  # type: ignore[no-untyped-call]

    def request(self, context: "Context") -> GateRequest:
        """The request this task makes: the same for every retry, so that it is asked once."""
        ti = context["ti"]
        self.result_links = {"Manifest": self.digest}
        self.body = evidence(self.artifacts, self.digest, DatabaseHook().get_conn(), links=settings().airflow)
        policy = msgspec.to_builtins(self.policy)
        # ``max_tries`` grows when somebody clears the task, not on a retry: cleared means asked anew.
        asked = [ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.max_tries, self.digest, policy]
        return GateRequest(
            id=digest_document(asked).removeprefix("sha256:")[:32],
            use_case=self.use_case,
            gate=self.gate,
            dag=ti.dag_id,
            run=ti.run_id,
            task=ti.task_id,
            map_index=unmapped(ti.map_index),
            manifest=self.digest,
            evidence=digest_bytes(self.body.encode()),
            policy=policy,
            policy_digest=self.policy.digest,
            submitter=str(context["dag_run"].conf.get("submitter", "")) if context["dag_run"].conf else "",
            state="open",
            created=time.time(),
        )

    @cached_property
    def artifacts(self) -> Any:
        return ArtifactsHook().get_conn()

    @property
    def digest(self) -> str:
        """Digest of the manifest."""
        return str(self.manifest["digest"])

    @property
    def short(self) -> str:
        """The 12 hex digits people read."""
        return short(self.digest)

    def decision(self, request: GateRequest) -> tuple[Decision, str] | None:
        """The valid signed decision about a request, if there is one, and its record's hash."""
        return approval_of_request(Ledger(DatabaseHook().get_conn()), request, public_keys(settings().public_keys))

    def wait_for_decision(self, request: GateRequest, seconds: float = 30.0) -> tuple[Decision, str]:
        """Wait for the guard's record: it is appended right after Airflow took the answer."""
        deadline = time.monotonic() + seconds
        while (found := self.decision(request)) is None:
            if time.monotonic() > deadline:
                raise NotApproved(
                    f"The answer about manifest {self.short} left no signed decision in the ledger.",
                    hint="Answer through the API server with Airlock's plugin; clear this task to ask again.",
                )
            time.sleep(0.2)
        return found


def comment_field(*, required: bool) -> Param:
    """The form's comment; Airflow's page does not let go of the form before a required one is filled in."""
    types = "string" if required else ["string", "null"]
    return Param("" if required else None, type=types, title="Comment", description="Kept with the decision.")


def sentence(decision: Decision) -> str:
    """One sentence about a decision, for logs and task history."""
    roles = ", ".join(decision.roles)
    note = f" “{decision.comment}”" if decision.comment else ""
    return f"{decision.user} ({roles}) chose {decision.option!r} for manifest {short(decision.manifest)}.{note}"


def gate(*, gate: str, **kwargs: Any) -> GateOperator:
    """Make a :class:`GateOperator`; ``task_id`` defaults to ``<gate>_gate``."""
    kwargs.setdefault("task_id", f"{gate}_gate")
    return GateOperator(gate=gate, **kwargs)
