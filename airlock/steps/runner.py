"""Runs one step from its spec to its result. The same code in a subprocess and in a pod."""

import errno
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec

from airlock.errors import AirlockError, UserError
from airlock.lineage.edges import record
from airlock.settings import Settings
from airlock.steps.cache import environment
from airlock.steps.context import StepContext, narrowed
from airlock.steps.contract import OUT_OF_MEMORY, Failure, Result, Spec, result_of_worker
from airlock.steps.registry import is_sealed, load_step
from airlock.steps.workers import Worker
from airlock.stores.verification import Verifier


def run_spec(spec: Spec, settings: Settings, worker: Worker | None = None) -> Result:
    """Run a step and write its result once, after every output was verified; a failure is a result too.

    :param worker: which of several workers this is; only the first one's outputs are the step's.
    """
    worker = worker or Worker()
    started = time.time()
    with tempfile.TemporaryDirectory(prefix=f"airlock-{spec.step}-") as workdir:
        context = StepContext(narrowed(settings), spec.run, Path(workdir), worker)
        result = _attempt(spec, context, settings, started)
    # After the working folder is gone: a step that filled the disk can still say so.
    name = result_of_worker(spec.result, worker.index)
    if not context.artifacts.create_document(name, msgspec.json.encode(result)):
        raise UserError(f"The result {name} was already written.", hint="A try runs once; clear the task for another.")
    return result


def _attempt(spec: Spec, context: StepContext, settings: Settings, started: float) -> Result:
    outputs: dict[str, Any] = {}
    failure = None
    try:
        step = load_step(spec.step)
        if is_sealed(spec.step):
            context.settings = settings
        inputs = _convert(spec, step.Inputs)
        made = step.run(inputs, context)
        if context.worker.index == 0:
            outputs = msgspec.to_builtins(made)
            Verifier(context.settings).verify_all(outputs)
            record(settings, spec.run.path, spec.step, spec.inputs, outputs)
    except Exception as error:  # the boundary of the process: whatever happened must reach the task's history
        traceback.print_exc()
        failure = classify(error)
        outputs = {}
    return Result(
        step=spec.step,
        status="failed" if failure else "succeeded",
        outputs=outputs,
        metrics=context.metrics,
        links=context.links,
        environment={} if failure else environment(spec.step),
        failure=failure,
        started=started,
        ended=time.time(),
    )


def _convert(spec: Spec, inputs: type[Any]) -> Any:
    try:
        return msgspec.convert(spec.inputs, inputs)
    except msgspec.ValidationError as error:
        raise UserError(
            f"The inputs of step {spec.step!r} are not valid: {error}.", hint="Correct the operator's arguments."
        ) from error


def classify(error: Exception) -> Failure:
    """Give any exception one of the three classes."""
    kind = type(error).__name__
    if isinstance(error, AirlockError):
        return Failure(category=error.category, kind=kind, message=error.message, hint=error.hint)
    if isinstance(error, MemoryError) or kind in OUT_OF_MEMORY:
        return Failure(category="resource", kind=kind, message="Out of memory.", hint=ResourceHint.MEMORY)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure(category="resource", kind=kind, message=f"No space left: {error}.", hint=ResourceHint.DISK)
    if isinstance(error, ConnectionError | TimeoutError) or kind == "OperationalError":
        return Failure(category="infrastructure", kind=kind, message=f"A service went away: {error}.")
    return Failure(category="user", kind=kind, message=f"{kind}: {error}", hint="See the traceback in the log.")


class ResourceHint:
    """The knobs that resource failures name."""

    MEMORY = "Choose a compute profile with more memory."
    DISK = "Free disk space where the stores and the temporary folder lie."
