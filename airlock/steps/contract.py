"""The contract between an operator and the subprocess or pod that does the work.

A *spec* goes in, a *result* comes out, both versioned JSON documents in the artifact store. The result is
written once, after every output was found and verified; exit status 0 without a valid result is a failure.
The JSON Schemas in ``airlock/steps/schemas`` are made from these types.
"""

from typing import Any, Literal

import msgspec

from airlock.errors import AirlockError, Category, InfrastructureError, ResourceError, UserError


class RunInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which task of which run asks: Airflow's names, plain strings here.

    :param attempt: Airflow's try number, from 1.
    :param restart: how often the task's place started the step again, over all of its tries.
    """

    dag: str
    run: str
    task: str
    map_index: int = -1
    attempt: int = 1
    restart: int = 0

    @property
    def owner(self) -> str:
        """Name of the task, the same for all its tries, in Airflow's own spelling."""
        return "/".join(self._parts)

    @property
    def path(self) -> str:
        """Name of this execution, unique and usable as a path."""
        number = f"{self.attempt}.{self.restart}" if self.restart else str(self.attempt)
        return "/".join(_plain(part) for part in self._parts) + f"/{number}"

    @property
    def _parts(self) -> tuple[str, str, str]:
        return (self.dag, self.run, f"{self.task}.{self.map_index}" if self.map_index >= 0 else self.task)


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do: only references and parameters, no data.

    :param airlock_spec: version of this contract.
    :param result: name of the document the result goes to.
    """

    airlock_spec: Literal[1] = 1
    step: str
    inputs: dict[str, Any]
    run: RunInfo
    result: str


OUT_OF_MEMORY = ("MemoryError", "OutOfMemoryError", "ResourceExhaustedError")
"""What Python, PyTorch and TensorFlow call it, on a GPU as on the machine."""

INTERRUPTED = "Interrupted"
"""Name of the error by which a step says that it was asked to stop."""


class Failure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a step failed: which class of error, and the message people read."""

    category: Category
    kind: str
    message: str
    hint: str = ""

    @property
    def interrupted(self) -> bool:
        """Whether the step was asked to stop, and kept what it had."""
        return self.kind == INTERRUPTED

    @property
    def out_of_memory(self) -> bool:
        return self.category == "resource" and self.kind in OUT_OF_MEMORY


class Result(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of it.

    :param outputs: references with digests, and small figures.
    :param metrics: figures worth comparing between runs.
    :param links: label to URL, or to ``sha256:…`` of a page in the artifact store.
    :param environment: versions of Python and of the packages the step declares.
    :param started: seconds since the epoch; likewise ``ended``.
    """

    airlock_result: Literal[1] = 1
    step: str
    status: Literal["succeeded", "failed"]
    outputs: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    links: dict[str, str] = {}
    environment: dict[str, str] = {}
    failure: Failure | None = None
    started: float
    ended: float

    def raise_failure(self) -> None:
        """Raise what the far side reported, as the same class of error."""
        if self.failure is not None:
            raise _ERRORS[self.failure.category](f"{self.step}: {self.failure.message}", hint=self.failure.hint)


_ERRORS: dict[Category, type[AirlockError]] = {
    "user": UserError,
    "infrastructure": InfrastructureError,
    "resource": ResourceError,
}


def decode_spec(data: bytes) -> Spec:
    """Parse a spec.

    :raises UserError: it is not a spec of version 1.
    """
    try:
        return msgspec.json.decode(data, type=Spec)
    except msgspec.MsgspecError as error:
        raise UserError(f"The step spec is not valid: {error}.", hint="Operator and step image must agree.") from error


def decode_result(data: bytes | None, name: str) -> Result:
    """Parse a result.

    :raises UserError: there is none, or it was cut short.
    """
    if data is None:
        raise InfrastructureError(
            f"The step ended without a result at {name}: it was killed or never started.", hint="See the task's log."
        )
    try:
        return msgspec.json.decode(data, type=Result)
    except msgspec.MsgspecError as error:
        raise UserError(
            f"The result {name} is cut short or not valid ({error}); nothing it names is used.",
            hint="Clear the task to run it again.",
        ) from error


def result_of_worker(result: str, index: int) -> str:
    """Name the document of one of several workers; the first one's is the step's."""
    return f"workers/{index}/{result}" if index else result


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas (2020-12) of spec and result."""
    return {"spec": msgspec.json.schema(Spec), "result": msgspec.json.schema(Result)}


def _plain(part: str) -> str:
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in part)
