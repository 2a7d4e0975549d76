"""The gate: where the lifecycle stops until the right people decide about exactly one manifest."""

import time
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param, get_parsing_context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, DownstreamTasksSkipped
from msgspec.structs import replace

from airlock.digests import digest_bytes, short
from airlock.errors import NotApproved, UserError
from airlock.governance.book import Book
from airlock.governance.decisions import Closing, Decision
from airlock.governance.evidence import champion_of, evidence, question
from airlock.governance.forms import Field
from airlock.governance.manifest import chain, load_any
from airlock.governance.people import check_people
from airlock.governance.policy import GatePolicy, read_gates
from airlock.hooks.artifacts import ArtifactsHook
from airlock.hooks.database import DatabaseHook
from airlock.operators.links import MANIFEST
from airlock.operators.outputs import NamedOutputs
from airlock.operators.step import unmapped
from airlock.operators.trigger import start_rework
from airlock.settings import settings
from airlock.stores.gates import GateRequest, GateRequests
from airlock.stores.ledger import Ledger, Record
from airlock.stores.queue import PromotionQueue

if TYPE_CHECKING:
    from airflow.sdk import Context

PATIENCE = 300.0
# Ways in which Airflow itself would end the waiting. Here the policy says what happens, and who decides.
NOT_HERE = ("options", "defaults", "multiple", "response_timeout", "execution_timeout")


class GateOperator(NamedOutputs, HITLOperator):
    """Stop until the right people approve one manifest, or send it back with a note.

    How it works: files a gate request (what is asked, under which policy, on which evidence), then parks in
    Airflow's ``awaiting_input`` state, holding no worker slot. The answers may come from Airflow's Required Actions
    page, its REST API, Airlock's Gates page or ``airlock gate``; the gate guard in the API server checks each person
    and signs each decision. The task then completes only on the signed record that closes the request.

    What it does not do: trust an answer by itself. Marking this task successful leaves no signed record, so
    whatever the gate protects refuses to act.

    How it ends: *approved* succeeds; *rejected* starts the rework and skips what follows; *withdrawn* and *superseded*
    skip; *expired* fails. Clearing the task asks anew. ``GateOperator.partial(…).expand(manifest=[…])`` asks about
    several manifests side by side.

    :param use_case: name of the use case.
    :param gate: name of the gate, for example ``data``.
    :param manifest: the manifest to decide about.
    :param policy: who decides and how; it must be the one adopted for this gate.
    """

    template_fields: Sequence[str] = ("subject", "body", "manifest")
    operator_extra_links = (MANIFEST,)
    ui_color = "#f6c945"
    # Inherited by subclasses: by it the guard knows a gate, whatever its class is called.
    custom_operator_name = "Gate"

    def __init__(self, *, use_case: str, gate: str, manifest: Any, policy: GatePolicy, **kwargs: Any) -> None:
        if wrong := [name for name in NOT_HERE if kwargs.get(name) is not None]:  # a mapped gate brings them empty
            raise UserError(f"A gate takes no {wrong[0]!r}.", hint="What it waits for, and how long, is its policy's.")
        kwargs = defaults(use_case, gate, policy) | kwargs
        kwargs.pop("params", None)  # a mapped gate brings them; the form is the policy's
        super().__init__(subject=f"{use_case}: {gate} gate", options=policy.options, params=form_of(policy), **kwargs)
        self.use_case = use_case
        self.gate = gate
        self.manifest = manifest
        self.policy = policy
        self.result_links: dict[str, str] = {}

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """A gate to be mapped, checked like any other when the DAG is parsed."""
        return super().partial(**(defaults(kwargs["use_case"], kwargs["gate"], kwargs["policy"]) | kwargs))

    @cached_property
    def requests(self) -> GateRequests:
        return GateRequests(DatabaseHook().get_conn())

    def execute(self, context: "Context") -> Any:
        """File the request and park, unless it is already closed."""
        book = self.book()
        book.require_policy(self.use_case, self.gate, self.policy)
        request = self.requests.open(self._shown(self.question(context), book.last_served(self.use_case)))
        if self.requests.state(request.id) != "open":
            return self.complete(context, request)
        self.body = question(self._evidence(request.champion), request, self.policy)
        self.log.info("The %s gate waits for a decision about manifest %s.", self.gate, self.short)
        return super().execute(context)

    def execute_complete(self, context: "Context", event: dict[str, Any]) -> Any:
        """Act on the signed record that closed the request; what the event says is not trusted."""
        del event
        request = self.requests.filed(self.question(context))
        if request is None:
            raise NotApproved(f"The {self.gate} gate filed no request.", hint="Clear this task to ask.")
        return self.complete(context, request)

    def complete(self, context: "Context", request: GateRequest) -> dict[str, Any]:
        """Return the approved manifest and its decision, or do what another end of the request asks for."""
        closing, record = self.wait_for_closing(request)
        decided = [decision for decision, _ in self.book().decisions[request.id]]
        said = " ".join([*map(sentence, decided), *filter(None, [closing.reason])])
        context["ti"].xcom_push(key="summary", value={"headline": f"{closing.verdict}: {said}", "cached": False})
        self.log.info("The request about manifest %s is %s. %s", self.short, closing.verdict, said)
        if closing.verdict == "approved":
            return {"manifest": self.manifest, "decision": record.hash}
        PromotionQueue(DatabaseHook().get_conn()).finish(request.dag, request.run, closing.verdict)
        if closing.verdict == "rejected":
            self._rework(request, decided[-1])
        if closing.verdict == "expired":
            raise AirflowFailException(
                f"Nobody decided about manifest {self.short} in time: expiry is never approval. "
                "Clear this task to ask again."
            )
        by = f" by {closing.user}" if closing.user else ""
        raise AirflowSkipException(
            f"The request about manifest {self.short} was {closing.verdict}{by}. {closing.reason} "
            "Clear this task to ask again."
        )

    def _rework(self, request: GateRequest, decision: Decision) -> None:
        rework = self.policy.rework[decision.option]
        run = start_rework(rework, request, decision, list(chain(self.artifacts, self.digest)))
        self.log.info("Started %s of %s at %s.", run, rework.dag, rework.step)
        raise DownstreamTasksSkipped(tasks=sorted(self.downstream_task_ids))  # type: ignore[no-untyped-call]

    def question(self, context: "Context") -> GateRequest:
        """What this task asks, without what is shown beside it: the same for every retry, so that it is asked once."""
        ti = context["ti"]
        self.result_links = {"Manifest": self.digest}
        return GateRequest(
            use_case=self.use_case,
            gate=self.gate,
            dag=ti.dag_id,
            run=ti.run_id,
            task=ti.task_id,
            map_index=unmapped(ti.map_index),
            # ``max_tries`` grows when somebody clears the task, not on a retry: cleared means asked anew.
            attempt=ti.max_tries,
            manifest=self.digest,
            evidence="",
            policy=self.policy.digest,
            created=time.time(),
        )

    def _shown(self, asked: GateRequest, served: str) -> GateRequest:
        champion = champion_of(self.artifacts, served, load_any(self.artifacts, self.digest))
        return replace(asked, champion=champion, evidence=digest_bytes(self._evidence(champion).encode()))

    def wait_for_closing(self, request: GateRequest, seconds: float = PATIENCE) -> tuple[Closing, Record]:
        """Wait for the guard's signed record: it is appended right after Airflow took the answer.

        An API server that was killed in between appends it when it is back.
        """
        deadline = time.monotonic() + seconds
        while self.requests.state(request.id) == "open":
            if time.monotonic() > deadline:
                raise NotApproved(
                    f"The answer about manifest {self.short} left no signed decision in the ledger.",
                    hint="Answer through the API server with Airlock's plugin; clear this task to ask again.",
                )
            time.sleep(0.2)
        closed = self.book().closing(request.id)
        if closed is None:
            raise NotApproved(f"The end of request {request.id[:12]} is not in the verified ledger.")
        return closed

    def book(self) -> Book:
        """The verified ledger as it is now."""
        return Book.open(Ledger(DatabaseHook().get_conn()), settings().public_keys)

    def _evidence(self, champion: str) -> str:
        return evidence(self.artifacts, self.digest, champion)

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


def defaults(use_case: str, gate: str, policy: GatePolicy) -> dict[str, Any]:
    """What every gate has unless its DAG says otherwise; checks that living people could satisfy the policy.

    A retry finds the record that already closed the request, so an answer the scheduler lost is not asked twice.

    :raises UserError: names the gate and the stage that nobody, or not enough people, could satisfy.
    """
    # In a running task it is too late for that: a role taken away must not fail the run's other tasks.
    if get_parsing_context().task_id is None:
        check_people(policy, f"the {gate} gate of {use_case}", settings().people)
    return {"retries": 3, "retry_delay": timedelta(seconds=5)}


def form_of(policy: GatePolicy) -> dict[str, Param]:
    """The form beside the options: a box for every item of the checklist, the policy's questions, and the comment.

    Airflow's page does not let go of the form before a required field is filled in.
    """
    types = "string" if policy.comment_required else ["string", "null"]
    comment = Param(
        "" if policy.comment_required else None, type=types, title="Comment", description="Kept with the decision."
    )
    boxes = {name: Param(False, type="boolean", title=text) for name, text in policy.checklist.items()}
    questions = {name: _question(field) for name, field in policy.form.items()}
    return boxes | questions | {"comment": comment}


def _question(field: Field) -> Param:
    """A question may stay open here: only who approves must answer it, and that the guard checks."""
    if not field.options:
        return Param(None, type=["string", "null"], title=field.title, description="Signed with the decision.")
    words = [*field.options, None]
    return Param(None, type=["string", "null"], enum=words, title=field.title, description="Signed with the decision.")


def sentence(decision: Decision) -> str:
    """One sentence about a decision, for logs and task history."""
    roles = ", ".join(decision.roles)
    note = f" “{decision.comment}”" if decision.comment else ""
    return f"{decision.user} ({roles}) chose {decision.option!r} for manifest {short(decision.manifest)}.{note}"


def policies(path: Path) -> dict[str, GatePolicy]:
    """Read the policies of a use case's gates from its ``gates.json``, by gate."""
    return read_gates(path).gates


def gate(*, gate: str, **kwargs: Any) -> GateOperator:
    """Make a :class:`GateOperator`; ``task_id`` defaults to ``<gate>_gate``."""
    kwargs.setdefault("task_id", f"{gate}_gate")
    return GateOperator(gate=gate, **kwargs)
