"""The way of an answer through the guard.

1. It is checked: who, in which role, under which policy, about exactly what stands on the page.
2. An answer that does not end the request yet (others must approve too) is recorded, and Airflow hears nothing.
3. One that ends it is signed and written ahead, before Airflow sees it.
4. Airflow takes the answer (or refuses it: what was written ahead becomes void).
5. The decision and the end of the request are appended to the ledger, and only then the client hears of it.

A crash between 4 and 5 is settled from what Airflow recorded (:mod:`airlock.plugins.reconcile`).
"""

from datetime import UTC, datetime
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airlock.errors import NotApproved, UserError
from airlock.governance.evidence import asked_in
from airlock.plugins.answers import Answer, GateAnswers
from airlock.plugins.checks import Conflict, at_place
from airlock.plugins.identity import Person, identify
from airlock.plugins.questions import Place, Question, question_at
from airlock.plugins.touched import Gates

# Airflow's own handlers need threads too while an answer waits for its turn: neither may starve the other.
WAITING, WORKING = 16, 8


class Answering:
    """Handles answers to human-in-the-loop tasks; those that are no gates go to Airflow untouched."""

    def __init__(self, app: ASGIApp, answers: GateAnswers) -> None:
        self.app = app
        self.answers = answers
        self._waiting, self._working = CapacityLimiter(WAITING), CapacityLimiter(WORKING)

    async def __call__(
        self, target: dict[str, Any], body: bytes, gates: Gates, scope: Scope, receive: Receive, send: Send
    ) -> None:
        place = at_place(target)
        shown = await to_thread.run_sync(question_at, place, limiter=self._working)
        request_id = asked_in(shown.body) if shown else ""
        if not request_id:
            # Also when there is no question: it may be there by the time Airflow looks.
            await to_thread.run_sync(require_no_gate, gates, place, shown, limiter=self._working)
            return await self.app(scope, receive, send)
        person = await identify(Request(scope))
        alone = self.answers.alone(request_id)
        await to_thread.run_sync(alone.__enter__, limiter=self._waiting)
        try:
            await self._answer(place, person, body, scope, receive, send)
        finally:
            await to_thread.run_sync(alone.__exit__, None, None, None, limiter=self._working)

    async def _answer(
        self, place: Place, person: Person, body: bytes, scope: Scope, receive: Receive, send: Send
    ) -> None:
        shown = await to_thread.run_sync(question_at, place, limiter=self._working)
        if shown is None:
            raise UserError("The question is gone.", hint="Reload the page.")
        answer = await to_thread.run_sync(self.answers.check, place, shown, person, body, limiter=self._working)
        if answer.completing:
            return await self.app(scope, receive, _Recording(self, answer, send))
        await to_thread.run_sync(self.answers.record, answer, limiter=self._working)
        return await JSONResponse(acknowledged(answer, person))(scope, receive, send)

    async def settle(self, answer: Answer, accepted: bool) -> None:
        """Record what Airflow took, void what it did not."""
        if accepted:
            await to_thread.run_sync(self.answers.record, answer, limiter=self._working)
        else:
            await to_thread.run_sync(self.answers.void, answer.id, limiter=self._working)


class _Recording:
    """Sends Airflow's reply on, once what it means is on record."""

    def __init__(self, answering: Answering, answer: Answer, send: Send) -> None:
        self.answering = answering
        self.answer = answer
        self.send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self.answering.settle(self.answer, accepted=200 <= message["status"] < 300)
        await self.send(message)


def require_no_gate(gates: Gates, place: Place, shown: Question | None) -> None:
    """Make sure that a question which names no request, or none at all, is none of a gate.

    :raises NotApproved: it is; an answer to it would be about something unknown.
    :raises UserError: it asks nothing yet.
    """
    if place[2] in gates.tasks(*place[:2]):
        if shown is None:
            raise Conflict(f"Gate {place[2]} of {place[0]} asks nothing now.", hint="Answer again in a moment.")
        raise NotApproved(
            f"What gate {place[2]} of {place[0]} shows names no request in the ledger.",
            hint="Somebody altered the question: clear the gate task to ask again.",
        )


def acknowledged(answer: Answer, person: Person) -> dict[str, Any]:
    """The reply to an answer that did not end the request, in the form Airflow's page expects."""
    decision = answer.decision
    return {
        "responded_by": {"id": person.id, "name": person.name},
        "responded_at": datetime.fromtimestamp(decision.time, UTC).isoformat(),
        "chosen_options": [decision.option],
        "params_input": {"comment": decision.comment} | dict.fromkeys(decision.checked, True),
    }
