"""Gate requests as JSON, for the pages and for ``airlock gate``. Answers are not given here.

Whoever answers sends Airflow's own ``PATCH …/hitlDetails``, so that one guard sees every answer.
"""

import time
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel

from airlock.errors import NotApproved, UserError
from airlock.plugins.answers import GateAnswers
from airlock.plugins.checks import Conflict
from airlock.plugins.console.comparison import compared
from airlock.plugins.console.desk import Desk
from airlock.plugins.console.readers import ReaderDep
from airlock.plugins.provenance import people_of
from airlock.plugins.questions import resume
from airlock.stores.gates import GateRequest

router = APIRouter(prefix="/gates/requests")

RequestId = Annotated[str, Path(pattern="^[0-9a-f]{8,64}$")]


class Withdrawal(BaseModel):
    """Why a request is taken back."""

    reason: str


@cache
def answers() -> GateAnswers:
    """The ledger as this process verified it."""
    return GateAnswers()


def desk(reader: ReaderDep) -> Desk:
    """Return what lies on the desk of whoever is signed in."""
    return Desk(answers(), reader)


DeskDep = Annotated[Desk, Depends(desk)]


@router.get("")
def requests(desk: DeskDep, state: Literal["open", "all"] = "open", mine: bool = False) -> list[dict[str, Any]]:
    """Return the requests the person may see: theirs first, then the oldest first."""
    found = desk.requests(closed=state == "all")
    return [msgspec.to_builtins(each) for each in found if each.mine or not mine]


@router.get("/{request_id}")
def request(request_id: RequestId, desk: DeskDep) -> dict[str, Any]:
    """Return a request with all that a decision rests on."""
    found = desk.find(request_id)
    comparison, _ = compared(found)
    return desk.detail(found) | {"comparison": msgspec.to_builtins(comparison)}


@router.post("/{request_id}/withdraw")
def withdraw(request_id: RequestId, why: Withdrawal, desk: DeskDep) -> dict[str, Any]:
    """Take a request back, which its submitter may; the end is a signed record."""
    asked = desk.find(request_id)
    require_withdrawer(desk, asked)
    reason = why.reason.replace("\0", "").strip()
    if not reason:
        raise UserError("A withdrawal needs a reason.", hint="Say why; it is kept with the request.")
    if not answers().close(asked, "withdrawn", desk.reader.name, reason):
        raise Conflict("The request is closed already.", hint="See `airlock gate show`.")
    policy = desk.policy(asked)
    # A gate that is still being parked must not be resumed yet: whoever watches the clock does it then.
    if policy is None or time.time() - asked.created >= policy.minimum_age:
        resume((asked.dag, asked.run, asked.task, asked.map_index))
    ended: dict[str, Any] = msgspec.to_builtins(Desk(answers(), desk.reader).asked(asked))
    return ended


def require_withdrawer(desk: Desk, asked: GateRequest) -> None:
    """Make sure that a person may take a request back.

    :raises NotApproved: it is not theirs.
    """
    name = desk.reader.name
    submitters = people_of(desk.book, asked)["submitter"]
    if submitters and name not in submitters:
        raise NotApproved(
            f"{name} did not submit this request: {', '.join(submitters)} did.", hint="Ask them, or reject it."
        )
    if not desk.reader.may_answer(asked.dag):
        raise NotApproved(f"{name} may not answer tasks of {asked.dag} in Airflow.", hint="Ask an administrator.")
    if not submitters and (why_not := desk.asked(asked).why_not):
        raise NotApproved(f"No person submitted this request, and {why_not}", hint="Ask somebody who is awaited.")
