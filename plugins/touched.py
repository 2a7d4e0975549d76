"""What in Airflow a request would touch: which of its tasks are gates, and which of those are asking now.

A task is a gate when its operator says so or when it filed a request, in whatever version of its DAG.
"""

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.exceptions import TaskNotFound
from airflow.models.asset import TaskOutletAssetReference
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import State, TaskInstanceState
from sqlalchemy import or_, select

from airlock.stores.gates import GateRequest, GateRequests

if TYPE_CHECKING:
    from airflow.models.dagbag import DBDagBag

GATE, PROMOTE = "GateOperator", "PromoteOperator"
KIND = "Gate"
"""The operator's name of every gate, also of a subclass."""

AT_WORK = (TaskInstanceState.RUNNING, TaskInstanceState.AWAITING_INPUT, TaskInstanceState.DEFERRED)


class Gates:
    """The gates of Airflow's DAGs.

    :param requests: gate requests on file.
    :param dags: Airflow's own DAGs as the API server sees them.
    """

    def __init__(self, requests: GateRequests, dags: "DBDagBag") -> None:
        self.requests = requests
        self.dags = dags

    def filed(self, dag: str, run: str | None = None) -> list[GateRequest]:
        """Return the requests on file of a DAG, or of one run of it."""
        return self.requests.of_dag(dag) if run is None else self.requests.of_run(dag, run)

    def tasks(self, dag: str, run: str | None = None) -> set[str]:
        """Return the ids of a DAG's gates, or of one run's."""
        query = select(TaskInstance.task_id).where(TaskInstance.dag_id == dag, _IS_GATE).distinct()
        if run is not None:
            query = query.where(TaskInstance.run_id == run)
        with create_session() as session:
            found = set(session.scalars(query))
            declared = {task.task_id for version in self._versions(dag, run, session) for task in _gates_of(version)}
        return found | declared | {request.task for request in self.filed(dag, run)}

    def asking(self, dag: str, run: str | None = None) -> set[str]:
        """Return the ids of the gates that ask now, or are just about to: their request is open or they are at work."""
        gates = self.tasks(dag, run)
        query = select(TaskInstance.task_id, TaskInstance.run_id, TaskInstance.state)
        query = query.where(TaskInstance.dag_id == dag, TaskInstance.task_id.in_(gates))
        if run is not None:
            query = query.where(TaskInstance.run_id == run)
        waiting = {(request.task, request.run) for request in self.requests.pending() if request.dag == dag}
        with create_session() as session:
            rows = session.execute(query).all() if gates else []
        return {
            task
            for task, at, state in rows
            if state in AT_WORK or (state not in State.finished and (task, at) in waiting)
        }

    def with_relatives(
        self, dag: str, run: str, tasks: Collection[str], *, upstream: bool, downstream: bool
    ) -> set[str]:
        """Return tasks and what comes before or after them, in every version of the DAG that Airflow may go by."""
        found = set(tasks)
        with create_session() as session:
            for version in self._versions(dag, run, session):
                for task in tasks:
                    with suppress(TaskNotFound):
                        known = version.get_task(task)
                        found |= known.get_flat_relative_ids(upstream=True) if upstream else set()
                        found |= known.get_flat_relative_ids(upstream=False) if downstream else set()
        return found

    def of_group(self, dag: str, run: str, group: str) -> set[str]:
        """Return the tasks of a task group."""
        with create_session() as session:
            groups = [version.task_group_dict.get(group) for version in self._versions(dag, run, session)]
            return {task.task_id for found in groups if found for task in found.iter_tasks()}

    def says_approved(self, asset: int) -> bool:
        """Whether an asset is updated by a promotion, or by any task behind a gate; then only that task may."""
        query = select(TaskOutletAssetReference.dag_id, TaskOutletAssetReference.task_id)
        with create_session() as session:
            producers = session.execute(query.where(TaskOutletAssetReference.asset_id == asset)).all()
            return any(self._behind_gate(dag, task, session) for dag, task in producers)

    def _behind_gate(self, dag: str, name: str, session: Any) -> bool:
        for version in self._versions(dag, None, session):
            with suppress(TaskNotFound):
                task = version.get_task(name)
                gates = {gate.task_id for gate in _gates_of(version)}
                if task.task_type == PROMOTE or gates & task.get_flat_relative_ids(upstream=True):
                    return True
        return False

    def _versions(self, dag: str, run: str | None, session: Any) -> list[Any]:
        """The DAG as it is now, and as it was for a run."""
        latest = self.dags.get_latest_version_of_dag(dag, session=session)
        query = select(DagRun).where(DagRun.dag_id == dag, DagRun.run_id == run)
        known = session.scalar(query) if run is not None else None
        then = self.dags.get_dag_for_run(known, session=session) if known else None
        return [version for version in (latest, then) if version]


_IS_GATE = or_(TaskInstance.operator == GATE, TaskInstance.custom_operator_name == KIND)


def _gates_of(dag: Any) -> Iterable[Any]:
    return [task for task in dag.tasks if task.task_type == GATE or task.operator_name == KIND]
