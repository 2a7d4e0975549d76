"""What the guard does with an answer: check it against the gate's policy, sign it, write it ahead, record it."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import msgspec

from airlock.digests import canonical, digest_bytes
from airlock.errors import IntegrityError, NotApproved, UserError
from airlock.governance.anchor import write_anchor
from airlock.governance.authority import Authority, authority
from airlock.governance.book import Book
from airlock.governance.decisions import Decision, Verdict, closing_body, decision_body, decision_from
from airlock.governance.evidence import asked_in, evidence, question
from airlock.governance.policy import APPROVE, GatePolicy
from airlock.governance.signing import public_keys, verify_signature
from airlock.governance.tally import Tally, tally
from airlock.hooks.artifacts import ArtifactsHook
from airlock.plugins.identity import Person, people
from airlock.plugins.provenance import barred
from airlock.plugins.questions import Place, Question
from airlock.settings import settings
from airlock.stores.gates import GateRequest, GateRequests, finish_answer, place
from airlock.stores.ledger import Appender, Record


class Conflict(UserError):
    """The request is younger than its policy allows, or closed."""

    status = 409


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that was checked.

    :param completing: whether it ends the request; only then Airflow hears of it.
    :param id: the write-ahead record of a completing one.
    """

    request: GateRequest
    decision: Decision
    completing: bool
    id: int = 0


class _Payload(msgspec.Struct, kw_only=True):
    chosen_options: list[str]
    params_input: dict[str, Any] = {}


class Sealed(msgspec.Struct, kw_only=True):
    """A decision as it is written ahead: signed, for whoever can write to the database must not decide.

    :param responder: the auth manager's id of the person, which Airflow keeps with an answer.
    """

    decision: dict[str, Any]
    responder: str
    key_id: str
    signature: str


class GateAnswers:
    """Answers to gate requests, on the API server's side."""

    def __init__(self) -> None:
        self._book = Book()
        self._reading = threading.Lock()

    @cached_property
    def authority(self) -> Authority:
        return authority()

    @cached_property
    def requests(self) -> GateRequests:
        return GateRequests(self.authority.database)

    def book(self) -> Book:
        """The verified ledger as it is now; what this process verified before is not verified again."""
        with self._reading:
            self._book.read_on(self.authority.ledger, settings().public_keys)
            return self._book

    @contextmanager
    def alone(self, request_id: str) -> Iterator[None]:
        """Let nobody else, in whichever API server, answer or close this request meanwhile."""
        with self.authority.database.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 3))", (request_id,))
            yield

    def check(self, at: Place, shown: Question, person: Person, body: bytes) -> Answer:
        """Check an answer to the question that stands at a task; write a completing one ahead.

        :raises NotApproved: the person may not decide here, or the question is not what the ledger says was asked.
        :raises UserError: the answer is not complete or comes too early.
        """
        book = self.book()
        request = book.request(asked_in(shown.body))
        policy = book.policy(request)
        require_open(book, request)
        book.require_policy(request.use_case, request.gate, policy)
        require_shown(request, policy, at, shown)
        require_age(request, policy)
        having = people()
        so_far = self.recount(book, request, having)
        decision = self._decision(so_far, person, having.get(person.name, ()), body)
        ended = tally(request, policy, [*so_far.counted, decision])
        if not decision.approved or ended.approved:
            number = self.requests.prepare(request.id, msgspec.to_builtins(self._sealed(decision, person)))
            return Answer(request=request, decision=decision, completing=True, id=number)
        return Answer(request=request, decision=decision, completing=False)

    def recount(self, book: Book, request: GateRequest, having: dict[str, tuple[str, ...]]) -> Tally:
        """Count again: an approval of somebody who lost the role since is declared void.

        :param having: name to roles of everybody, as of now.
        """
        found = book.tally(request.id)
        lost = [each.user for each in found.counted if not still_counts(found, each, having.get(each.user, ()))]
        if not lost:
            return found
        with self.authority.ledger.appending() as appender:
            for decision, record in book.decisions[request.id]:
                if decision.user in lost:
                    reason = f"{decision.user} lost the role since"
                    body = {"use_case": request.use_case, "record": record.hash, "reason": reason}
                    appender.append("void", body, self.authority.signer)
        return self.book().tally(request.id)

    def record(self, answer: Answer) -> None:
        """Append a decision, and what it brings to an end, in one transaction."""
        with self.authority.ledger.appending() as appender:
            last = appender.append("decision", decision_body(answer.decision), self.authority.signer)
            if answer.completing:
                verdict: Verdict = "approved" if answer.decision.approved else "rejected"
                last = self._close(appender, answer.request, verdict, answer.decision.user, answer.decision.option)
                finish_answer(appender.cursor, answer.id, "recorded")
        write_anchor(settings().public_keys, last, self.authority.signer)

    def void(self, number: int) -> None:
        """Say that Airflow did not take what was written ahead."""
        with self.authority.database.transaction() as cursor:
            finish_answer(cursor, number, "void")

    def close(self, request: GateRequest, verdict: Verdict, user: str = "", reason: str = "") -> bool:
        """End a request without an answer; return whether this call did it."""
        with self.alone(request.id):
            if self.requests.state(request.id) != "open":
                return False
            with self.authority.ledger.appending() as appender:
                record = self._close(appender, request, verdict, user, reason)
        write_anchor(settings().public_keys, record, self.authority.signer)
        return True

    def read(self, number: int, request: GateRequest, body: dict[str, Any]) -> tuple[Answer, str]:
        """Read an answer that was written ahead, and who gave it.

        :raises IntegrityError: the API server did not write it, or not for this request.
        """
        try:
            sealed = msgspec.convert(body, Sealed)
        except msgspec.ValidationError as error:
            raise IntegrityError(f"Answer {number} was not written by the API server: {error}.") from error
        covered = canonical([sealed.responder, sealed.decision])
        verify_signature(public_keys(settings().public_keys), sealed.key_id, sealed.signature, covered)
        decision = decision_from(sealed.decision)
        if decision.request != request.id:
            raise IntegrityError(f"Answer {number} was written for request {decision.request}.")
        return Answer(request=request, decision=decision, completing=True, id=number), sealed.responder

    def _close(
        self, appender: Appender, request: GateRequest, verdict: Verdict, user: str = "", reason: str = ""
    ) -> Record:
        return appender.append("closed", closing_body(request, verdict, user, reason), self.authority.signer)

    def _sealed(self, decision: Decision, person: Person) -> Sealed:
        body, signer = decision_body(decision), self.authority.signer
        covered = canonical([person.id, body])
        return Sealed(decision=body, responder=person.id, key_id=signer.key_id, signature=signer.sign(covered))

    def _decision(self, so_far: Tally, person: Person, roles: Sequence[str], body: bytes) -> Decision:
        request, now = so_far.request, time.time()
        kept_out = barred(self.book(), request, so_far.policy)
        stage = so_far.check(person.name, roles, kept_out, now)
        option, comment, checked = read_answer(body, so_far.policy)
        return Decision(
            request=request.id,
            use_case=request.use_case,
            gate=request.gate,
            manifest=request.manifest,
            evidence=request.evidence,
            policy=request.policy,
            user=person.name,
            roles=sorted(roles),
            option=option,
            approved=option == APPROVE,
            comment=comment,
            time=now,
            stage=stage,
            checked=checked,
            barred=kept_out,
        )


def at_place(target: dict[str, Any]) -> Place:
    """DAG, run, task and map index an answer is for.

    :raises UserError: the map index is no number, or a name holds what no database stores.
    """
    dag, run, task = (str(target[name]) for name in ("dag_id", "dag_run_id", "task_id"))
    index = str(target.get("map_index", -1))
    if not re.fullmatch("-?[0-9]+", index) or "\0" in dag + run + task:
        raise UserError(f"There is no task {task!r} with map index {index!r}.", hint="Unmapped tasks have -1.")
    return dag, run, task, int(index)


def require_open(book: Book, request: GateRequest) -> None:
    """Refuse an answer to a request that came to its end."""
    if closed := book.closing(request.id):
        raise Conflict(f"The request is {closed[0].verdict}: {closed[0].reason}.", hint="Clear the task to ask anew.")


def require_shown(request: GateRequest, policy: GatePolicy, at: Place, shown: Question) -> None:
    """Make sure that what stands on Airflow's page is what the request says, rendered here again from the manifest."""
    artifacts = ArtifactsHook().get_conn()
    text = evidence(artifacts, request.manifest, request.champion)
    asked = (*place(request)[:3], request.map_index)
    same = shown.body == question(text, request, policy) and shown.options == policy.options
    if asked != at or digest_bytes(text.encode()) != request.evidence or not same:
        raise NotApproved(
            f"What task {at[2]} of {at[0]} shows is not what request {request.id[:12]} asks.",
            hint="Somebody altered the question, or Airlock was updated since: clear the gate task to ask again.",
        )


def require_age(request: GateRequest, policy: GatePolicy) -> None:
    """Refuse an answer that Airflow would lose because the gate is still being parked."""
    wait = policy.minimum_age - (time.time() - request.created)
    if wait > 0:
        raise Conflict(f"The gate opens for answers in {wait:.0f} s.", hint="Answer again then.")


def read_answer(body: bytes, policy: GatePolicy) -> tuple[str, str, list[str]]:
    """Return the chosen option, the comment and what was confirmed of the checklist."""
    try:
        payload = msgspec.json.decode(body, type=_Payload)
    except msgspec.MsgspecError as error:
        raise UserError(f"The answer is not valid: {error}.", hint="Send chosen_options and params_input.") from error
    if len(payload.chosen_options) != 1 or payload.chosen_options[0] not in policy.options:
        raise UserError(f"{payload.chosen_options} is no answer to this gate.", hint=f"Choose one of {policy.options}.")
    option = payload.chosen_options[0]
    comment = str(payload.params_input.get("comment") or "").replace("\0", "").strip()
    if policy.comment_required and not comment:
        raise UserError("This gate asks for a comment.", hint="Say why, in the field 'comment'.")
    checked = sorted(name for name in policy.checklist if payload.params_input.get(name) is True)
    if option == APPROVE and (left := sorted(set(policy.checklist) - set(checked))):
        raise UserError(f"Not confirmed: {policy.checklist[left[0]]}.", hint=f"Tick {', '.join(left)}, or reject.")
    return option, comment, checked


def still_counts(found: Tally, decision: Decision, roles: Sequence[str]) -> bool:
    """Whether somebody still has a role with which they could decide as they did."""
    wanted = found.policy.roles(decision.stage, decision.time - found.request.created)
    return bool(set(wanted) & set(roles))
