"""The operator side of the step contract: a spec out, a verified result in, and task history people can read."""

import os
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.execution_time import task_runner

from airlock.errors import AirlockError
from airlock.hooks.sealed import resolved_settings
from airlock.lineage.edges import record
from airlock.operators.execution import Ending, Execution
from airlock.operators.forking import forked
from airlock.operators.openlineage import emit
from airlock.operators.outputs import NamedOutputs
from airlock.operators.results import result_of
from airlock.operators.retries import BudgetUsedUp, Restarts
from airlock.operators.state import TaskState
from airlock.operators.summary import headline, summary
from airlock.references import Artifact
from airlock.settings import settings
from airlock.steps.cache import Key, Lookup, StepCache, key_of
from airlock.steps.contract import Result, RunInfo, Spec
from airlock.steps.records import keep_record
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.layers import open_layers
from airlock.stores.verification import Verifier

if TYPE_CHECKING:
    from airflow.sdk import Context


SLICE = 0.5  # a stop is noticed between two of them


class StepOperator(NamedOutputs, BaseOperator):
    """Base of every step's operator; a place (:class:`SubprocessPlace`, ``PodPlace``) says where the step runs.

    How it works: the rendered arguments become a spec document; a verified result of the same key is reused;
    otherwise the place runs ``python -m airlock.steps`` and the result it wrote is read back. A step that was
    interrupted is started again in the same try, as often as its compute profile allows. Errors of class *user* and
    *resource* fail the task at once, *infrastructure* is retried by Airflow.

    What it does not do: move data through XCom. It returns the step's outputs, which are references and figures.

    :param compute: name of a compute profile.
    :param cache: reuse a verified earlier result of the same step, source, inputs and environment.
    """

    step: ClassVar[str] = ""
    files: ClassVar[Sequence[str]] = ()
    """Arguments that are paths of use-case files: stored as artifacts, so a pod gets the same bytes."""
    template_fields: Sequence[str] = ()
    ui_color = "#e8f1fb"
    _stopped = False
    _supervisor = 0

    def __init__(self, *, compute: str = "local", cache: bool = True, **kwargs: Any) -> None:
        kwargs.setdefault("retries", 2)
        kwargs.setdefault("retry_delay", 5)
        kwargs["on_failure_callback"] = with_given_up(kwargs.get("on_failure_callback"))
        super().__init__(**kwargs)
        self.compute = compute
        self.cache = cache

    @cached_property
    def artifacts(self) -> ArtifactStore:
        return open_layers(resolved_settings())

    @cached_property
    def step_cache(self) -> StepCache:
        return StepCache(self.artifacts, Verifier(resolved_settings()))

    @property
    def inputs(self) -> dict[str, Any]:
        """The step's inputs: the rendered arguments, with files replaced by the artifacts they became."""
        values = {name: getattr(self, name) for name in self.template_fields}
        for name in self.files:
            if isinstance(values[name], str):  # otherwise an artifact that another task made
                values[name] = msgspec.to_builtins(self.store_file(Path(values[name])))
        return values

    def store_file(self, path: Path) -> Artifact:
        """Store the file of an argument; an operator whose files are more than text does it in its own way."""
        return self.artifacts.put_file(path, "text/plain")

    def secrets(self) -> dict[str, str]:
        """Variables that only this step is given, for example an access token: never part of its spec."""
        return {}

    def execute(self, context: "Context") -> dict[str, Any]:
        """Reuse a verified result or run the step; return its outputs."""
        self._supervisor = os.getppid()
        try:
            return self.leave_history(context, *self._result(context))
        except AirlockError as error:
            self.log.error("%s failed: %s", self.step, error)
            line = f"{self.step} failed ({error.category}): {error}"
            context["ti"].xcom_push(key="summary", value={"headline": line, "table": "", "cached": False})
            retry = error.category == "infrastructure" and not isinstance(error, BudgetUsedUp)
            raise (AirflowException if retry else AirflowFailException)(str(error)) from error

    def run_step(self, context: "Context", execution: Execution) -> Ending:
        """Run the step in this operator's place, leaving nothing behind; return how it ended."""
        raise NotImplementedError

    def left_over(self, context: "Context", key: str) -> Execution | None:  # noqa: ARG002
        """The execution of this task that a lost worker left running, when it does what is wanted now."""
        return None

    def abandoned(self, context: "Context") -> None:
        """Take away what the task may have left: it has failed for good, and nobody may be there to clean up.

        Called in the worker, or in the DAG processor when the worker was lost and Airflow gave the task up. Extend it,
        and let it be called twice.
        """

    def on_kill(self) -> None:
        """Start nothing any more."""
        self._stopped = True

    def require_wanted(self) -> None:
        """Go on only while somebody waits for it.

        :raises AirflowException: Airflow stopped the task.
        :raises SystemExit: the worker was killed around this process. What runs elsewhere is left to the next try.
        """
        if self._stopped:
            raise AirflowException(f"{self.step} was stopped.")
        supervised = hasattr(getattr(task_runner, "SUPERVISOR_COMMS", None), "socket")
        if supervised and os.getppid() != self._supervisor:
            raise SystemExit("The worker of this task is gone.")

    def leave_history(self, context: "Context", spec: Spec, result: Result, cached: bool) -> dict[str, Any]:
        """Leave links and a summary in the task's history, then return the outputs or raise the failure."""
        self.result_links = result.links
        line, table = headline(result, cached=cached), summary(spec, result)
        self.log.info("%s\n%s", line, table)
        context["ti"].xcom_push(key="summary", value={"headline": line, "table": table, "cached": cached})
        emit(spec, result, settings())
        result.raise_failure()
        return result.outputs

    def _result(self, context: "Context") -> tuple[Spec, Result, bool]:
        run = run_info(context)
        spec = Spec(step=self.step, inputs=forked(self.inputs, context), run=run, result=f"results/{run.path}.json")
        lookup = self._look_up(context, spec)
        if lookup and lookup.result:
            if run.attempt > 1:
                self.abandoned(context)  # a pod of an earlier try: somebody else was faster
            record(settings(), run.path, self.step, spec.inputs, lookup.result.outputs)
            keep_record(self.artifacts, spec, lookup.key, lookup.result)
            return spec, lookup.result, True
        key = lookup.key if lookup else key_of(spec)
        spec, result = self._run(context, spec, key)
        if result.status == "succeeded":
            self.step_cache.record(spec, key, result)
            keep_record(self.artifacts, spec, key, result)
        return spec, result, False

    def _look_up(self, context: "Context", spec: Spec) -> Lookup | None:
        if not self.cache:
            self.log.info("Cache off: %s runs.", self.step)
            return None
        if (rework := rework_of(context)).get("step") == self.task_id:
            self.log.info(
                "Cache off: a reviewer asked for %s to be done again. %s", self.task_id, rework.get("note", "")
            )
            return None
        lookup = self.step_cache.look_up(spec)
        if lookup.result is None:
            self.log.info("Cache miss: %s.", lookup.reason)
        return lookup

    def _run(self, context: "Context", spec: Spec, key: Key) -> tuple[Spec, Result]:
        given = context["ti"].max_tries
        restarts = Restarts(self.step, TaskState(context), self.compute, spec.run.attempt, given)
        execution = self.left_over(context, key.digest) or self._execution(spec, key, restarts)
        while True:
            ending = self.run_step(context, execution)
            self.require_wanted()
            ending, result = result_of(self.artifacts, execution, ending, restarts.may_use_more_memory())
            if result is not None:
                return execution.spec, result
            self._pause(restarts.next(ending))
            execution = self._execution(spec, key, restarts)

    def _execution(self, spec: Spec, key: Key, restarts: Restarts) -> Execution:
        run = msgspec.structs.replace(spec.run, restart=restarts.number)
        spec = msgspec.structs.replace(spec, run=run, result=f"results/{run.path}.json")
        document = f"specs/{run.path}.json"
        self.artifacts.replace_document(document, msgspec.json.encode(spec))
        return Execution(
            spec=spec, document=document, key=key.digest, compute=restarts.compute, profile=restarts.profile
        )

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.require_wanted()
            time.sleep(min(left, SLICE))


def given_up(context: "Context") -> None:
    """Airflow's callback of a task that failed for good; of a mapped one the DAG processor has no instance."""
    task: Any = context["task"]
    expanded = getattr(getattr(task, "expand_input", None), "value", None)
    operator = task.unmap(dict.fromkeys(expanded)) if isinstance(expanded, dict) else task
    if isinstance(operator, StepOperator):
        operator.abandoned(context)


def with_given_up(callbacks: Any) -> list[Any]:
    """Put the callback of every step in front of a task's own."""
    own = callbacks if isinstance(callbacks, Sequence) else [] if callbacks is None else [callbacks]
    return [given_up, *(callback for callback in own if callback is not given_up)]


def run_info(context: "Context") -> RunInfo:
    """Airflow's names for the running task, as the step contract spells them."""
    ti = context["ti"]
    return RunInfo(
        dag=ti.dag_id, run=ti.run_id, task=ti.task_id, map_index=unmapped(ti.map_index), attempt=max(ti.try_number, 1)
    )


def unmapped(map_index: int | None) -> int:
    """Airflow's map index, -1 for a task that is not mapped."""
    return -1 if map_index is None else map_index


def rework_of(context: "Context") -> dict[str, Any]:
    """What a reviewer's rejection asked for (``step``, ``note``, ``chain`` …), when one started this run."""
    conf: dict[str, Any] = context["dag_run"].conf or {}
    rework: dict[str, Any] = conf.get("rework") or {}
    return rework
