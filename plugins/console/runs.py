"""What Airflow knows of the run that asks: what it cost, who started it, and the rework it was started for."""

from typing import Any

import msgspec
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import Select, select


class TaskCost(msgspec.Struct, frozen=True, kw_only=True):
    """One task of a run.

    :param seconds: of the last try; ``None`` while it has not ended.
    :param cached: its outputs were reused.
    """

    name: str
    state: str
    seconds: float | None
    cached: bool


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A run.

    :param tasks: in the order in which they started; gates wait and cost nothing, so they are left out.
    :param rework: ``step``, ``gate`` and ``note`` of the rejection that started it; empty for any other run.
    :param note: what stands beside the run in Airflow.
    """

    started_by: str
    rework: dict[str, str]
    note: str
    tasks: list[TaskCost]

    @property
    def seconds(self) -> float:
        """Seconds that its tasks computed, in all."""
        return sum(task.seconds or 0.0 for task in self.tasks)

    @property
    def most(self) -> float:
        """Seconds of its longest task."""
        return max([task.seconds or 0.0 for task in self.tasks], default=0.0)


def run_facts(dag: str, run: str) -> RunFacts | None:
    """Return what Airflow knows of a run, ``None`` when it was deleted."""
    with create_session() as session:
        found = session.scalar(select(DagRun).where(DagRun.dag_id == dag, DagRun.run_id == run))
        if found is None:
            return None
        asking = select(HITLDetail.ti_id)
        ran = select(TaskInstance).where(
            TaskInstance.dag_id == dag,
            TaskInstance.run_id == run,
            TaskInstance.start_date.is_not(None),
            TaskInstance.state.is_not(None),  # cleared, and not run again yet
            TaskInstance.id.not_in(asking),
        )
        said = session.scalars(_summaries(dag, run)).all()
        cached = {(each.task_id, each.map_index) for each in said if _cached(XComModel.deserialize_value(each))}
        tasks = session.scalars(ran.order_by(TaskInstance.start_date)).all()
        return RunFacts(
            started_by=found.triggering_user_name or "",
            rework=_rework(found.conf),
            note=found.note or "",
            tasks=[_cost(task, (task.task_id, task.map_index) in cached) for task in tasks],
        )


def _summaries(dag: str, run: str) -> Select[Any]:
    return select(XComModel).where(XComModel.dag_id == dag, XComModel.run_id == run, XComModel.key == "summary")


def _cost(task: TaskInstance, cached: bool) -> TaskCost:
    name = task.task_id if task.map_index < 0 else f"{task.task_id} [{task.map_index}]"
    return TaskCost(name=name, state=str(task.state or ""), seconds=task.duration, cached=cached)


def _cached(summary: Any) -> bool:
    return isinstance(summary, dict) and bool(summary.get("cached"))


def _rework(conf: Any) -> dict[str, str]:
    rework = conf.get("rework") if isinstance(conf, dict) else None
    return {name: str(rework.get(name, "")) for name in ("step", "gate", "note")} if isinstance(rework, dict) else {}
