"""Starts DAG runs from a task: the one a rejection names, the one that still has work in its queue."""

from typing import Any

from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun

from airlock.errors import InfrastructureError
from airlock.governance.decisions import Decision
from airlock.governance.policy import Rework


def start_rework(rework: Rework, decision: Decision, chain: list[str], run_id: str) -> None:
    """Start a DAG at a step with the reviewer's note; a run that was already started is left alone.

    :param chain: digests of the rejected manifest and its ancestors; the run claims the one its gate approved.
    :param run_id: the same for every try, so that a retried gate starts the rework once.
    """
    note = f"Rework from the {decision.gate} gate, asked for by {decision.user}: {decision.comment or decision.option}"
    conf: dict[str, Any] = {
        "rework": {"step": rework.step, "gate": decision.gate, "note": decision.comment, "chain": chain}
    }
    start_run(rework.dag, run_id, conf, note)


def start_run(dag: str, run_id: str, conf: dict[str, Any], note: str) -> None:
    """Start a run of a DAG, once for a run id."""
    reply = task_runner.SUPERVISOR_COMMS.send(TriggerDagRun(dag_id=dag, run_id=run_id, conf=conf, note=note))
    if isinstance(reply, ErrorResponse) and reply.error is not ErrorType.DAGRUN_ALREADY_EXISTS:
        raise InfrastructureError(f"{dag} could not be started: {reply.detail}.", hint="Trigger it by hand.")
