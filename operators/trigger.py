"""Starts the DAG run that a rejection names."""

from typing import Any

from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun

from airlock.errors import InfrastructureError
from airlock.governance.decisions import Decision


def start_rework(dag: str, step: str, decision: Decision, run_id: str) -> None:
    """Start a DAG at a step with the reviewer's note; a run that was already started is left alone.

    :param run_id: the same for every try, so that a retried gate starts the rework once.
    """
    note = f"Rework from the {decision.gate} gate, asked for by {decision.user}: {decision.comment or decision.option}"
    conf: dict[str, Any] = {
        "rework": {"step": step, "gate": decision.gate, "note": decision.comment, "manifest": decision.manifest}
    }
    reply = task_runner.SUPERVISOR_COMMS.send(TriggerDagRun(dag_id=dag, run_id=run_id, conf=conf, note=note))
    if isinstance(reply, ErrorResponse) and reply.error.value != "DAGRUN_ALREADY_EXISTS":
        raise InfrastructureError(f"The rework {dag} could not be started: {reply.detail}.", hint="Trigger it by hand.")
