"""What the guard does with an answer: check it against the gate's policy, sign it, write it ahead, record it."""

import os
import re
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from airlock.digests import canonical
from airlock.errors import IntegrityError, NotApproved, UserError
from airlock.governance.decisions import Decision, decision_body, decision_from
from airlock.governance.policy import GatePolicy
from airlock.governance.signing import Signer, public_keys, verify_signature
from airlock.hooks.database import DatabaseHook
from airlock.operators.gate import APPROVE
from airlock.plugins.identity import Person
from airlock.settings import settings
from airlock.stores.gates import GateRequest, GateRequests
from airlock.stores.ledger import Ledger

KEY_FILE = "AIRLOCK_SIGNING_KEY_FILE"


class TooEarly(UserError):
    """The request is younger than its policy allows."""

    status = 409


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A decision written ahead.

    :param id: the write-ahead record.
    """

    id: int
    decision: Decision


class _Payload(msgspec.Struct, kw_only=True):
    chosen_options: list[str]
    params_input: dict[str, Any] = {}


class _Sealed(msgspec.Struct, kw_only=True):
    """A decision as it is written ahead: signed, for whoever can write to the database must not decide."""

    decision: dict[str, Any]
    key_id: str
    signature: str


class GateAnswers:
    """Answers to gate requests, on the API server's side."""

    @cached_property
    def requests(self) -> GateRequests:
        return GateRequests(DatabaseHook().get_conn())

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(DatabaseHook().get_conn())

    @cached_property
    def signer(self) -> Signer:
        path = os.environ.get(KEY_FILE)
        if not path:
            raise NotApproved("The API server has no signing key.", hint=f"Set {KEY_FILE} for the API server only.")
        return Signer(Path(path))

    def prepare(self, target: dict[str, Any], person: Person, body: bytes) -> Answer | None:
        """Check an answer and write its signed decision ahead; ``None`` when the task is no gate of ours.

        :raises NotApproved: the person may not decide here.
        :raises UserError: the answer is not complete or comes too early.
        """
        request = self.requests.find(*place(target))
        if request is None:
            return None
        decision = self._decision(request, person, body)
        sealed = msgspec.to_builtins(self._sealed(decision))
        return Answer(id=self.requests.prepare(request.id, sealed), decision=decision)

    def read(self, number: int, request: GateRequest, body: dict[str, Any]) -> Answer:
        """Read an answer to a request that was written ahead.

        :raises IntegrityError: the API server did not write it, or not for this request.
        """
        try:
            sealed = msgspec.convert(body, _Sealed)
        except msgspec.ValidationError as error:
            raise IntegrityError(f"Answer {number} was not written by the API server: {error}.") from error
        keys = public_keys(settings().public_keys)
        verify_signature(keys, sealed.key_id, sealed.signature, canonical(sealed.decision))
        answer = Answer(id=number, decision=decision_from(sealed.decision))
        if answer.decision.request != request.id:
            raise IntegrityError(f"Answer {number} was written for request {answer.decision.request}.")
        return answer

    def finish(self, answer: Answer, accepted: bool) -> None:
        """Append an accepted decision to the ledger, or void what was written ahead."""
        if accepted:
            self.ledger.append("decision", decision_body(answer.decision), signer=self.signer)
        self.requests.finish(answer.id, "recorded" if accepted else "void")

    def _sealed(self, decision: Decision) -> _Sealed:
        body = decision_body(decision)
        return _Sealed(decision=body, key_id=self.signer.key_id, signature=self.signer.sign(canonical(body)))

    def _decision(self, request: GateRequest, person: Person, body: bytes) -> Decision:
        policy = msgspec.convert(request.policy, GatePolicy)
        check_role(request, policy, person)
        check_age(request, policy)
        option, comment = read_answer(body, policy)
        return Decision(
            request=request.id,
            use_case=request.use_case,
            gate=request.gate,
            manifest=request.manifest,
            evidence=request.evidence,
            policy=request.policy_digest,
            user=person.name,
            roles=list(person.roles),
            option=option,
            approved=option == APPROVE,
            comment=comment,
            time=time.time(),
        )


def place(target: dict[str, Any]) -> tuple[str, str, str, int]:
    """DAG, run, task and map index an answer is for.

    :raises UserError: the map index is no number, or a name holds what no database stores.
    """
    dag, run, task = (str(target[name]) for name in ("dag_id", "dag_run_id", "task_id"))
    index = str(target.get("map_index", -1))
    if not re.fullmatch("-?[0-9]+", index) or "\0" in dag + run + task:
        raise UserError(f"There is no task {task!r} with map index {index!r}.", hint="Unmapped tasks have -1.")
    return dag, run, task, int(index)


def check_role(request: GateRequest, policy: GatePolicy, person: Person) -> None:
    """Refuse a person without the gate's role, whatever other rights they have."""
    if policy.role not in person.roles:
        raise NotApproved(
            f"{person.name} ({', '.join(person.roles) or 'no role'}) may not answer the {request.gate} gate of "
            f"{request.use_case}: it asks for the role {policy.role}.",
            hint=f"Ask somebody who is a {policy.role}.",
        )


def check_age(request: GateRequest, policy: GatePolicy) -> None:
    """Refuse an answer that Airflow would lose because the gate is still being parked."""
    wait = policy.minimum_age - (time.time() - request.created)
    if wait > 0:
        raise TooEarly(f"The gate opens for answers in {wait:.0f} s.", hint="Answer again then.")


def read_answer(body: bytes, policy: GatePolicy) -> tuple[str, str]:
    """Return the chosen option and the comment."""
    try:
        payload = msgspec.json.decode(body, type=_Payload)
    except msgspec.MsgspecError as error:
        raise UserError(f"The answer is not valid: {error}.", hint="Send chosen_options and params_input.") from error
    options = [APPROVE, *policy.rework]
    if len(payload.chosen_options) != 1 or payload.chosen_options[0] not in options:
        raise UserError(f"{payload.chosen_options} is no answer to this gate.", hint=f"Choose one of {options}.")
    comment = str(payload.params_input.get("comment") or "").replace("\0", "").strip()
    if policy.comment_required and not comment:
        raise UserError("This gate asks for a comment.", hint="Say why, in the field 'comment'.")
    return payload.chosen_options[0], comment
