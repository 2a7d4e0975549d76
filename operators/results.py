"""What an execution left in the artifact store, read together with how its place saw it end."""

from collections.abc import Iterator

from airlock.operators.execution import Ending, Execution
from airlock.steps.contract import Result, decode_result, result_of_worker
from airlock.stores.artifacts import ArtifactStore

CAUSES = ("interrupted", "out of memory")


def result_of(
    artifacts: ArtifactStore, execution: Execution, ending: Ending, more_memory: bool
) -> tuple[Ending, Result | None]:
    """Return the result that counts; ``None`` when the ending alone says what to do.

    A success counts however its process ended. A failure does not when something else was its cause: the step was
    interrupted and could only say that a service went away, or one of several workers fell and took the others along.

    :param more_memory: whether a step that ran out of memory is started again.
    """
    results = list(_results(artifacts, execution))
    if not results:
        return ending, None
    if results[0].status == "succeeded":
        return ending, results[0]
    cause = min(results, key=lambda result: result.ended)
    failure = cause.failure
    if failure is None:
        return ending, cause
    if failure.out_of_memory and more_memory:
        return Ending(kind="out of memory", reason=f"ran out of memory ({failure.message})", hint=failure.hint), None
    if failure.interrupted:
        return Ending(kind="interrupted", reason=f"was asked to end ({failure.message})", hint=failure.hint), None
    consequence = execution.profile.workers > 1 or failure.category == "infrastructure"
    return ending, None if ending.kind in CAUSES and consequence else cause


def _results(artifacts: ArtifactStore, execution: Execution) -> Iterator[Result]:
    """The first worker's result, and the others' failures."""
    name = execution.spec.result
    if (data := artifacts.document(name)) is not None:
        yield decode_result(data, name)
    for index in range(1, execution.profile.workers):
        if (data := artifacts.document(result_of_worker(name, index))) is not None:
            result = decode_result(data, name)
            if result.status == "failed":
                yield result
