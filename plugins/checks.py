"""What an answer must satisfy before it is a decision: each check names what is wrong and the way out."""

import re
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from airlock.digests import digest_bytes
from airlock.errors import NotApproved, UserError
from airlock.governance.book import Book
from airlock.governance.decisions import Decision
from airlock.governance.evidence import champion_of, evidence, question
from airlock.governance.forms import read_answers, unanswered
from airlock.governance.manifest import load_any
from airlock.governance.policy import APPROVE, GatePolicy
from airlock.governance.tally import Tally
from airlock.hooks.artifacts import ArtifactsHook
from airlock.plugins.questions import Place, Question
from airlock.stores.gates import GateRequest, place

PARKED = "awaiting_input"
LONGEST_COMMENT = 10_000


class Conflict(UserError):
    """The request is younger than its policy allows, or closed."""

    status = 409


class _Payload(msgspec.Struct, kw_only=True):
    chosen_options: list[str]
    params_input: dict[str, Any] = {}


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


def require_shown(book: Book, request: GateRequest, policy: GatePolicy, at: Place, shown: Question) -> None:
    """Make sure that what stands on Airflow's page is what the request says, rendered here again from the manifest.

    What it is compared with is the champion by the ledger, not one that makes the candidate look good.
    """
    artifacts = ArtifactsHook().get_conn()
    served = book.last_served(request.use_case, request.id)
    champion = champion_of(artifacts, served, load_any(artifacts, request.manifest))
    text = evidence(artifacts, request.manifest, request.champion)
    asked = (*place(request)[:3], request.map_index)
    same = shown.body == question(text, request, policy) and shown.options == policy.options
    if champion != request.champion or asked != at or digest_bytes(text.encode()) != request.evidence or not same:
        raise NotApproved(
            f"What task {at[2]} of {at[0]} shows is not what request {request.id[:12]} asks.",
            hint="Somebody altered the question, or Airlock was updated since: clear the gate task to ask again.",
        )


def require_age(request: GateRequest, policy: GatePolicy, shown: Question) -> None:
    """Refuse an answer that Airflow would lose because the gate is still being parked.

    A task that is answered before the scheduler knows that it parked is marked as failed. Nothing says when the
    scheduler knows, so the age counts from the parking: on a busy machine that is long after the request.
    """
    if shown.state != PARKED:
        raise Conflict(
            f"The task does not wait for an answer now, it is {shown.state or 'not scheduled yet'}.",
            hint="Answer again in a moment; if it has ended, clear it to ask anew.",
        )
    wait = policy.minimum_age - (time.time() - max(request.created, shown.since))
    if wait > 0:
        raise Conflict(f"The gate opens for answers in {wait:.0f} s.", hint="Answer again then.")


def read_answer(body: bytes, policy: GatePolicy) -> tuple[str, str, list[str], dict[str, str]]:
    """Return the chosen option, the comment, what was confirmed of the checklist, and what was answered to the form."""
    try:
        payload = msgspec.json.decode(body, type=_Payload)
    except msgspec.MsgspecError as error:
        raise UserError(f"The answer is not valid: {error}.", hint="Send chosen_options and params_input.") from error
    if len(payload.chosen_options) != 1 or payload.chosen_options[0] not in policy.options:
        raise UserError(f"{payload.chosen_options} is no answer to this gate.", hint=f"Choose one of {policy.options}.")
    option = payload.chosen_options[0]
    comment = str(payload.params_input.get("comment") or "").replace("\0", "").strip()
    if len(comment) > LONGEST_COMMENT:
        raise UserError(f"The comment is longer than {LONGEST_COMMENT} characters.", hint="Link to what is longer.")
    if policy.comment_required and not comment:
        raise UserError("This gate asks for a comment.", hint="Say why, in the field 'comment'.")
    checked = sorted(name for name in policy.checklist if payload.params_input.get(name) is True)
    if option == APPROVE and (left := sorted(set(policy.checklist) - set(checked))):
        raise UserError(f"Not confirmed: {policy.checklist[left[0]]}.", hint=f"Tick {', '.join(left)}, or reject.")
    answers = read_answers(policy.form, payload.params_input)
    if option == APPROVE and (open_ := unanswered(policy.form, answers)):
        raise UserError(f"Not answered: {policy.form[open_[0]].title}.", hint=f"Fill in {', '.join(open_)}, or reject.")
    return option, comment, checked, answers


def still_counts(found: Tally, decision: Decision, roles: Sequence[str]) -> bool:
    """Whether somebody still has a role with which they could decide as they did."""
    wanted = found.policy.roles(decision.stage, decision.time - found.request.created)
    return bool(set(wanted) & set(roles))
