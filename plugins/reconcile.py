"""Settles answers that a crash left between Airflow's record of them and the ledger's."""

import logging
from typing import TYPE_CHECKING, Any

from airlock.errors import AirlockError, IntegrityError
from airlock.governance.decisions import Decision
from airlock.plugins.questions import Place, question_at
from airlock.stores.gates import GateRequest

if TYPE_CHECKING:
    from airlock.plugins.answers import GateAnswers

log = logging.getLogger(__name__)


def settle(answers: "GateAnswers") -> None:
    """For every decision written ahead and not settled: record it if Airflow took that very answer, else void it."""
    try:
        unfinished = answers.requests.unfinished()
    except AirlockError:
        # The API server must come up without Airlock's database; gates stay closed until it is back.
        log.exception("Answers written ahead could not be settled.")
        return
    for number, request, body in unfinished:
        try:
            with answers.alone(request.id):  # whoever is at it, here or in another API server, is let finish
                _settle_one(answers, number, request, body)
        except AirlockError:
            log.exception("Answer %s of the %s gate could not be settled.", number, request.gate)


def _settle_one(answers: "GateAnswers", number: int, request: GateRequest, body: dict[str, Any]) -> None:
    if number not in (each for each, _, _ in answers.requests.unfinished()):
        return
    try:
        answer, responder = answers.read(number, request, body)
    except IntegrityError as error:
        log.error("Answer %s of the %s gate is void: %s", number, request.gate, error)
        answers.void(number)
        return
    taken = answers.requests.state(request.id) == "open" and took(request, answer.decision, responder)
    answers.record(answer) if taken else answers.void(number)
    log.warning("Settled answer %s of the %s gate after a crash: taken %s.", number, request.gate, taken)


def took(request: GateRequest, decision: Decision, responder: str) -> bool:
    """Whether Airflow recorded exactly this answer."""
    place: Place = (request.dag, request.run, request.task, request.map_index)
    shown = question_at(place)
    if shown is None:
        return False
    return (shown.chosen, shown.by) == ([decision.option], responder)
