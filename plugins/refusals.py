"""What nobody may do to a gate, whatever rights Airflow gives them: one check for every guarded endpoint.

Each looks at what Airflow would do, in Airflow's own terms: its path parameters and its models of the body. Where it
is not certain what a request touches, more is refused rather than less.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from airflow.api_fastapi.core_api.datamodels.assets import CreateAssetEventsBody
from airflow.api_fastapi.core_api.datamodels.common import BulkAction, BulkBody
from airflow.api_fastapi.core_api.datamodels.dag_run import (
    BulkDAGRunBody,
    BulkDAGRunClearBody,
    ClearPartitionsBody,
    DAGRunClearBody,
    DagRunMutableStates,
    DAGRunPatchBody,
)
from airflow.api_fastapi.core_api.datamodels.task_instances import (
    BulkTaskInstanceBody,
    ClearTaskInstancesBody,
    PatchTaskInstanceBody,
)
from pydantic import BaseModel, ValidationError

from airlock.errors import NotApproved, UserError
from airlock.plugins.touched import Gates

ANSWER = "Answer it under Gates, or withdraw it first: `airlock gate withdraw`."
DECIDE = "Approve or reject it under Gates; its submitter may withdraw it: `airlock gate withdraw`."
ENDING = (DagRunMutableStates.SUCCESS, DagRunMutableStates.FAILED)


class Call(msgspec.Struct, frozen=True):
    """A request to a guarded endpoint.

    :param target: path parameters.
    :param document: the body, read.
    """

    gates: Gates
    target: dict[str, Any]
    document: Any

    def body(self, model: type[BaseModel]) -> Any:
        """Read the body as Airflow's handler does.

        :raises UserError: Airflow would not take it either.
        """
        if not isinstance(self.document, dict):
            raise UserError("The body is not a JSON object.", hint="See /docs of the API server.")
        try:
            return model.model_validate(self.document)
        except (ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"The body is not valid: {error}.", hint="See /docs of the API server.") from error


def refuse_marking(call: Call) -> None:
    """A gate is not marked successful, failed or skipped, on its own or with its neighbours."""
    body = call.body(PatchTaskInstanceBody)
    if body.new_state is not None:
        dag, run = call.target["dag_id"], call.target["dag_run_id"]
        _not_marked(call.gates, dag, run, _tasks_of(call, dag, run), body)


def refuse_in_bulk(call: Call) -> None:
    """The same for lists of tasks of any DAG; nor is a gate deleted."""
    for action in call.body(BulkBody[BulkTaskInstanceBody]).actions:
        for entity in action.entities:
            named = BulkTaskInstanceBody.model_construct(task_id=entity) if isinstance(entity, str) else entity
            dag, run = named.dag_id or call.target["dag_id"], named.dag_run_id or call.target["dag_run_id"]
            if action.action is BulkAction.DELETE:
                _not_deleted(call.gates, dag, run, named.task_id)
            elif named.new_state is not None:
                _not_marked(call.gates, dag, run, {named.task_id}, named)


def refuse_deleting_task(call: Call) -> None:
    """A gate is not deleted."""
    _not_deleted(call.gates, call.target["dag_id"], call.target["dag_run_id"], call.target["task_id"])


def refuse_clearing(call: Call) -> None:
    """A gate that asks is not cleared; one that is decided, failed or expired may be: it asks anew."""
    body = call.body(ClearTaskInstancesBody)
    if body.dry_run or body.only_failed:  # what asks has not failed
        return
    dag = call.target["dag_id"]
    run = None if body.include_past or body.include_future else body.dag_run_id
    tasks = None
    if body.task_ids is not None:
        named = {task if isinstance(task, str) else task[0] for task in body.task_ids}
        sides = {"upstream": body.include_upstream, "downstream": body.include_downstream}
        tasks = call.gates.with_relatives(dag, body.dag_run_id, named, **sides)
    _none_asks(call.gates, dag, run, tasks, "cleared")


def refuse_ending_run(call: Call) -> None:
    """A run whose gate asks is not marked successful or failed."""
    if call.body(DAGRunPatchBody).state in ENDING:
        _none_asks(call.gates, call.target["dag_id"], call.target["dag_run_id"], None, "ended with its run")


def refuse_runs_in_bulk(call: Call) -> None:
    """The same for lists of runs of any DAG; none that asked is deleted."""
    for action in call.body(BulkBody[BulkDAGRunBody]).actions:
        for entity in action.entities:
            named = BulkDAGRunBody.model_construct(dag_run_id=entity) if isinstance(entity, str) else entity
            dag = named.dag_id or call.target["dag_id"]
            if action.action is BulkAction.DELETE:
                _run_kept(call.gates, dag, named.dag_run_id)
            elif named.state in ENDING:
                _none_asks(call.gates, dag, named.dag_run_id, None, "ended with its run")


def refuse_deleting_run(call: Call) -> None:
    """A run that asked is not deleted: who started it may not approve it."""
    _run_kept(call.gates, call.target["dag_id"], call.target["dag_run_id"])


def refuse_deleting_dag(call: Call) -> None:
    """Nor is a DAG whose runs asked."""
    _run_kept(call.gates, call.target["dag_id"], None)


def refuse_clearing_run(call: Call) -> None:
    """A run whose gate asks is not cleared."""
    body = call.body(DAGRunClearBody)
    if not (body.dry_run or body.only_failed or body.only_new):
        _none_asks(call.gates, call.target["dag_id"], call.target["dag_run_id"], None, "cleared with its run")


def refuse_clearing_runs(call: Call) -> None:
    """Nor are several, however they are named."""
    body = call.body(BulkDAGRunClearBody)
    if body.dry_run or body.only_failed or body.only_new:
        return
    dag = call.target["dag_id"]
    named = [(run.dag_id or dag, run.dag_run_id) for run in body.dag_runs]
    for at, run in named or [(dag, None)]:
        _none_asks(call.gates, at, run, None, "cleared with its run")


def refuse_clearing_partitions(call: Call) -> None:
    """Nor are the runs of a partition."""
    body = call.body(ClearPartitionsBody)
    if body.clear_task_instances and not body.dry_run:
        _none_asks(call.gates, call.target["dag_id"], body.run_id, None, "cleared with its partition")


def refuse_writing(call: Call) -> None:
    """What a gate left for others, or keeps for itself, is written by the gate."""
    dag, task = call.target["dag_id"], call.target["task_id"]
    if task in call.gates.tasks(dag):
        raise NotApproved(f"{dag}.{task} is a gate: what it passes on is written by nobody else.", hint=DECIDE)


def refuse_event(call: Call) -> None:
    """That something was approved is said by the task that verified it."""
    asset = call.body(CreateAssetEventsBody).asset_id
    if call.gates.says_approved(asset):
        raise NotApproved(
            f"Asset {asset} says that something passed a gate: only the task behind the gate says so.",
            hint="Answer the gate under Gates; to work on what is approved, trigger the next DAG.",
        )


def _tasks_of(call: Call, dag: str, run: str) -> set[str]:
    if "group_id" in call.target:
        return call.gates.of_group(dag, run, call.target["group_id"])
    return {call.target["task_id"]}


def _not_marked(gates: Gates, dag: str, run: str, tasks: set[str], body: PatchTaskInstanceBody) -> None:
    sides = {"upstream": body.include_upstream, "downstream": body.include_downstream}
    reached = gates.with_relatives(dag, run, tasks, **sides)
    touched = reached & gates.tasks(dag, None if body.include_past or body.include_future else run)
    if touched:
        raise NotApproved(
            f"{_names(dag, touched)} cannot be marked {body.new_state}: only a decision opens or closes it.",
            hint=DECIDE,
        )


def _not_deleted(gates: Gates, dag: str, run: str, task: str) -> None:
    if task in gates.tasks(dag, run):
        raise NotApproved(f"{_names(dag, {task})} cannot be deleted: what it asked must stay to be seen.", hint=DECIDE)


def _none_asks(gates: Gates, dag: str, run: str | None, tasks: set[str] | None, what: str) -> None:
    asking = gates.asking(dag, run)
    if touched := asking if tasks is None else asking & tasks:
        raise NotApproved(f"{_names(dag, touched)} asks for a decision and cannot be {what}.", hint=ANSWER)


def _run_kept(gates: Gates, dag: str, run: str | None) -> None:
    if asked := {request.task for request in gates.filed(dag, run)} | gates.asking(dag, run):
        raise NotApproved(
            f"{_names(dag, asked)} asked in {run or 'its runs'}: who started a run that asked must stay on record.",
            hint="Whoever runs the host removes old runs: `airflow db clean`.",
        )


def _names(dag: str, tasks: set[str]) -> str:
    return "Gate " + " and ".join(f"{dag}.{task}" for task in sorted(tasks))


REFUSALS: dict[str, Callable[[Call], None]] = {
    "patch_task_instance": refuse_marking,
    "patch_task_group_instances": refuse_marking,
    "bulk_task_instances": refuse_in_bulk,
    "delete_task_instance": refuse_deleting_task,
    "post_clear_task_instances": refuse_clearing,
    "patch_dag_run": refuse_ending_run,
    "bulk_dag_runs": refuse_runs_in_bulk,
    "delete_dag_run": refuse_deleting_run,
    "delete_dag": refuse_deleting_dag,
    "clear_dag_run": refuse_clearing_run,
    "clear_dag_runs": refuse_clearing_runs,
    "clear_dag_run_partitions": refuse_clearing_partitions,
    "create_xcom_entry": refuse_writing,
    "update_xcom_entry": refuse_writing,
    "delete_xcom_entry": refuse_writing,
    "set_task_state_store": refuse_writing,
    "patch_task_state_store": refuse_writing,
    "delete_task_state_store": refuse_writing,
    "clear_task_state_store": refuse_writing,
    "create_asset_event": refuse_event,
}
