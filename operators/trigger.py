"""Starts DAG runs from a task: the one a rejection names, the one that still has work in its queue."""

from typing import Any

from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import DRCount, ErrorResponse, GetDRCount, TriggerDagRun

from airlock.errors import InfrastructureError
from airlock.governance.decisions import Decision
from airlock.governance.policy import Rework
from airlock.stores.gates import GateRequest

QUEUED = "queue__"
"""How the names of runs begin that one run starts for what is left in its queue."""


def start_rework(rework: Rework, request: GateRequest, decision: Decision, chain: list[str]) -> str:
    """Start a DAG at a step with the reviewer's note; return the run, which is the same for every try of the gate.

    :param chain: digests of the rejected manifest and its ancestors; the run claims the one its gate approved.
    """
    run = rework_run(request.id)
    note = f"Rework from the {decision.gate} gate, asked for by {decision.user}: {decision.comment or decision.option}"
    origin = {"dag": request.dag, "run": request.run, "request": request.id}
    conf: dict[str, Any] = {
        "rework": {
            "step": rework.step,
            "gate": decision.gate,
            "by": decision.user,
            "note": decision.comment,
            "chain": chain,
            "origin": origin,
        }
    }
    start_run(rework.dag, run, conf, note)
    return run


def rework_run(request_id: str) -> str:
    """Name of the run that does what a rejection of this request asks for."""
    return f"rework__{request_id[:12]}"


def start_run(dag: str, run_id: str, conf: dict[str, Any], note: str) -> None:
    """Start a run of a DAG, once for a run id."""
    reply = task_runner.SUPERVISOR_COMMS.send(TriggerDagRun(dag_id=dag, run_id=run_id, conf=conf, note=note))
    if isinstance(reply, ErrorResponse) and reply.error is not ErrorType.DAGRUN_ALREADY_EXISTS:
        raise InfrastructureError(f"{dag} could not be started: {reply.detail}.", hint="Trigger it by hand.")


def run_is_gone(dag: str, run: str) -> bool:
    """Whether Airflow knows no such run any more; not knowing counts as no."""
    reply = task_runner.SUPERVISOR_COMMS.send(GetDRCount(dag_id=dag, run_ids=[run]))
    return isinstance(reply, DRCount) and reply.count == 0
