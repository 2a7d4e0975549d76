"""Migrates an Airflow database and parks gates in it: ``python -m tests.integration.airflow_rows``.

On standard input a JSON list of questions; each becomes the rows that a gate task leaves when it parks.
"""

import sys
from typing import Any

import msgspec


class Parked(msgspec.Struct, kw_only=True):
    """A gate task that waits for an answer.

    :param run: a run of its own.
    """

    dag: str
    run: str
    task: str
    body: str
    options: list[str]


def main() -> None:
    """Migrate and insert."""
    from airflow.utils.db import upgradedb
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded
    from airflow.utils.session import create_session

    providers_configuration_loaded(upgradedb)()
    gates = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Parked])
    with create_session() as session:
        _dags(session, sorted({gate.dag for gate in gates}))
        for gate in gates:
            _park(session, gate)


def _dags(session: Any, names: list[str]) -> None:
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel

    session.add(DagBundleModel(name="tests"))
    session.flush()
    for name in names:
        limits = {"max_active_tasks": 16, "max_active_runs": 16, "max_consecutive_failed_dag_runs": 0}
        session.add(
            DagModel(dag_id=name, bundle_name="tests", is_stale=False, has_task_concurrency_limits=False, **limits)
        )
    session.flush()


def _park(session: Any, gate: Parked) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk.timezone import utcnow
    from sqlalchemy import insert
    from uuid6 import uuid7

    place, number = {"dag_id": gate.dag, "run_id": gate.run}, uuid7()
    waiting = {"id": number, "task_id": gate.task, "state": "awaiting_input", "try_number": 1, "pool": "default_pool"}
    resumed = {"next_method": "execute_complete", "next_kwargs": {}}
    session.execute(insert(DagRun.__table__).values(**place, run_type="manual", state="running", run_after=utcnow()))
    session.execute(insert(TaskInstance.__table__).values(**place, **waiting, **resumed))
    session.execute(
        insert(HITLDetail.__table__).values(
            ti_id=number, subject="A gate", body=gate.body, options=gate.options, multiple=False, params={}
        )
    )


if __name__ == "__main__":
    main()
