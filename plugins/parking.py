"""Airflow's tasks as the clock sees them: which gates are parked, which will never act on an answer any more."""

import time
from collections.abc import Collection
from typing import Any

import msgspec
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import State, TaskInstanceState
from sqlalchemy import select, tuple_

from airlock.governance.evidence import asked_in
from airlock.plugins.questions import Place

GRACE = 30.0  # seconds a task may be away before its request is closed


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """A gate that waits.

    :param request: id of the request it asks about.
    :param since: seconds since the epoch.
    """

    request: str
    place: Place
    since: float


def parked() -> list[Parked]:
    """Return every gate that waits for input now."""
    query = (
        select(HITLDetail.body, HITLDetail.created_at, *_PLACE)
        .join(TaskInstance, TaskInstance.id == HITLDetail.ti_id)
        .where(TaskInstance.state == TaskInstanceState.AWAITING_INPUT)
    )
    with create_session() as session:
        rows = session.execute(query).all()
    gates = [(asked_in(body or ""), created, _place(*place)) for body, created, *place in rows]
    return [Parked(request=name, place=place, since=created.timestamp()) for name, created, place in gates if name]


class Absences:
    """Tasks that ended or disappeared, and for how long they have been seen so."""

    def __init__(self) -> None:
        self._since: dict[Place, float] = {}

    def gone(self, places: Collection[Place]) -> dict[Place, str]:
        """Return which of these tasks will never act on an answer, to why; none before its grace is over."""
        states = _states(places)
        now = time.monotonic()
        why = {place: text for place in places if (text := _absence(place, states))}
        self._since = {place: self._since.get(place, now) for place in why}
        return {place: text for place, text in why.items() if now - self._since[place] >= GRACE}


def _states(places: Collection[Place]) -> dict[Place, str | None]:
    if not places:
        return {}
    query = select(TaskInstance.state, *_PLACE).where(tuple_(*_PLACE).in_(list(places)))
    with create_session() as session:
        return {_place(*place): state for state, *place in session.execute(query).all()}


def _place(dag: Any, run: Any, task: Any, map_index: Any) -> Place:
    return str(dag), str(run), str(task), int(map_index)


def _absence(place: Place, states: dict[Place, str | None]) -> str:
    if place not in states:
        return "Its task is gone: the run was deleted or the DAG changed."
    ended = states[place] in State.finished
    return f"Its task ended as {states[place]} without waiting for a decision." if ended else ""


_PLACE = (TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index)
