"""Airflow's side of a gate: the human-in-the-loop question of a task, and how it is resumed without an answer."""

from typing import Any

import msgspec
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import handle_event_submit
from airflow.triggers.base import TriggerEvent
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import Select, select

Place = tuple[str, str, str, int]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What Airflow shows, and what it knows of the answer.

    :param state: of the task instance.
    :param since: when it came to that, in seconds since the epoch.
    :param by: the auth manager's id of who answered; empty while nobody did.
    """

    body: str
    options: list[str]
    state: str
    chosen: list[str]
    by: str
    since: float = 0.0


def question_at(place: Place) -> Question | None:
    """Return the question of a task instance, ``None`` when it asks nothing.

    :param place: DAG, run, task and map index.
    """
    with create_session() as session:
        detail = session.scalar(_detail(place))
        if detail is None:
            return None
        return Question(
            body=detail.body or "",
            options=list(detail.options or []),
            state=str(detail.task_instance.state or ""),
            chosen=list(detail.chosen_options or []),
            by=str((detail.responded_by or {}).get("id", "")) if detail.responded_at else "",
            since=detail.task_instance.updated_at.timestamp(),
        )


def resume(place: Place) -> bool:
    """Let a parked gate go on, because its request was closed without an answer; return whether it was parked."""
    with create_session() as session:
        detail = session.scalar(_detail(place))
        if detail is None:
            return False
        parked = session.get(TaskInstance, detail.ti_id, with_for_update={"of": TaskInstance}, populate_existing=True)
        if parked is None or parked.state != TaskInstanceState.AWAITING_INPUT:
            return False
        event = TriggerEvent({"closed": True})  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        handle_event_submit(event, task_instance=parked, session=session)
        return True


def _detail(place: Place) -> Select[Any]:
    dag, run, task, map_index = place
    return (
        select(HITLDetail)
        .join(TaskInstance, TaskInstance.id == HITLDetail.ti_id)
        .where(
            TaskInstance.dag_id == dag,
            TaskInstance.run_id == run,
            TaskInstance.task_id == task,
            TaskInstance.map_index == map_index,
        )
    )
