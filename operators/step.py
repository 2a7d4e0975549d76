"""The operator side of the step contract: a spec out, a verified result in, and task history people can read."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airlock.errors import AirlockError, InfrastructureError
from airlock.hooks.sealed import resolved_settings
from airlock.lineage.edges import record
from airlock.operators.openlineage import emit
from airlock.operators.outputs import NamedOutputs
from airlock.operators.summary import headline, summary
from airlock.settings import settings
from airlock.steps.cache import Lookup, StepCache, key_of
from airlock.steps.contract import Result, RunInfo, Spec, decode_result
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.layers import open_layers
from airlock.stores.verification import Verifier

if TYPE_CHECKING:
    from airflow.sdk import Context


class StepOperator(NamedOutputs, BaseOperator):
    """Base of every step's operator; a place (:class:`SubprocessPlace`, ``PodPlace``) says where the step runs.

    How it works: the rendered arguments become a spec document; a verified result of the same key is reused;
    otherwise the place runs ``python -m airlock.steps`` and the result it wrote is read back. Errors of class
    *user* and *resource* fail the task at once, *infrastructure* is retried.

    What it does not do: move data through XCom. It returns the step's outputs, which are references and figures.

    :param compute: name of a compute profile.
    :param cache: reuse a verified earlier result of the same step, source, inputs and environment.
    """

    step: ClassVar[str] = ""
    files: ClassVar[Sequence[str]] = ()
    """Arguments that are paths of use-case files: stored as artifacts, so a pod gets the same bytes."""
    template_fields: Sequence[str] = ()
    ui_color = "#e8f1fb"

    def __init__(self, *, compute: str = "local", cache: bool = True, **kwargs: Any) -> None:
        kwargs.setdefault("retries", 2)
        kwargs.setdefault("retry_delay", 5)
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
            if values[name] is not None:
                values[name] = msgspec.to_builtins(self.artifacts.put_file(Path(values[name]), "text/plain"))
        return values

    def secrets(self) -> dict[str, str]:
        """Variables that only this step is given, for example an access token: never part of its spec."""
        return {}

    def execute(self, context: "Context") -> dict[str, Any]:
        """Reuse a verified result or run the step; return its outputs."""
        try:
            return self.leave_history(context, *self._result(context))
        except AirlockError as error:
            self.log.error("%s failed: %s", self.step, error)
            line = f"{self.step} failed ({error.category}): {error}"
            context["ti"].xcom_push(key="summary", value={"headline": line, "table": "", "cached": False})
            kind = AirflowException if error.category == "infrastructure" else AirflowFailException
            raise kind(str(error)) from error

    def run_step(self, context: "Context", document: str) -> str:
        """Run the step in this operator's place; return how it ended, for the case that it left no result."""
        raise NotImplementedError

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
        spec = Spec(step=self.step, inputs=self.inputs, run=run, result=f"results/{run.path}.json")
        lookup = self._look_up(context, spec)
        if lookup and lookup.result:
            record(settings(), run.path, self.step, spec.inputs, lookup.result.outputs)
            return spec, lookup.result, True
        result = self._run(context, spec)
        if result.status == "succeeded":
            self.step_cache.record(spec, lookup.key if lookup else key_of(spec), result)
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

    def _run(self, context: "Context", spec: Spec) -> Result:
        document = f"specs/{spec.run.path}.json"
        self.artifacts.replace_document(document, msgspec.json.encode(spec))
        ending = self.run_step(context, document)
        data = self.artifacts.document(spec.result)
        if data is None:
            raise InfrastructureError(
                f"{self.step} {ending} and left no result; nothing it made is used.",
                hint="Read the log above; a retry starts it again.",
            )
        return decode_result(data, spec.result)


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
