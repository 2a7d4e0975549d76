"""Settles decisions that a crash left between Airflow's record of an answer and the ledger's."""

import logging
from typing import TYPE_CHECKING, Any

from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import select

from airlock.errors import AirlockError, IntegrityError
from airlock.governance.decisions import Decision
from airlock.stores.gates import GateRequest

if TYPE_CHECKING:
    from airlock.plugins.answers import GateAnswers

log = logging.getLogger(__name__)


def settle(answers: "GateAnswers") -> None:
    """For every decision written ahead and not settled: record it if Airflow took that very answer, else void it."""
    try:
        for number, request, body in answers.requests.unfinished():
            _settle_one(answers, number, request, body)
    except AirlockError:
        # The API server must come up without Airlock's database; gates stay closed until it is back.
        log.exception("Answers written ahead could not be settled.")


def _settle_one(answers: "GateAnswers", number: int, request: GateRequest, body: dict[str, Any]) -> None:
    try:
        answer = answers.read(number, request, body)
    except IntegrityError as error:
        log.error("Answer %s of the %s gate is void: %s", number, request.gate, error)
        answers.requests.finish(number, "void")
        return
    taken = _took(request, answer.decision)
    answers.finish(answer, taken)
    log.warning("Settled answer %s of the %s gate after a crash: %s.", number, request.gate, taken)


def _took(request: GateRequest, decision: Decision) -> bool:
    query = (
        select(HITLDetail)
        .join(TaskInstance, TaskInstance.id == HITLDetail.ti_id)
        .where(
            TaskInstance.dag_id == request.dag,
            TaskInstance.run_id == request.run,
            TaskInstance.task_id == request.task,
            TaskInstance.map_index == request.map_index,
        )
    )
    with create_session() as session:
        detail = session.scalars(query).first()
        if detail is None or detail.responded_at is None:
            return False
        by = (detail.responded_by or {}).get("name")
        return detail.chosen_options == [decision.option] and by == decision.user
