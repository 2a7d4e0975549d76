"""What the tasks of a run did, read back from the documents that each leaves: inputs, key, outputs, metrics."""

import msgspec

from airlock.errors import UserError
from airlock.steps.cache import Key
from airlock.steps.contract import Result, RunInfo, Spec, decode_result, decode_spec
from airlock.stores.artifacts import ArtifactStore


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The last execution of one task that left a result.

    :param key: what decided it: step, source digest, inputs, environment.
    """

    spec: Spec
    key: Key
    result: Result

    @property
    def stood_aside(self) -> bool:
        """Did it nothing, as another step's result made that needless? So do workers of a search that is concluded."""
        return self.key.step != self.spec.step


def keep_record(artifacts: ArtifactStore, spec: Spec, key: Key, result: Result) -> None:
    """Leave in the store what a task did, whether it ran or used what was there."""
    path = spec.run.path
    artifacts.create_document(f"specs/{path}.json", msgspec.json.encode(spec))  # a task that ran has left both
    artifacts.create_document(f"results/{path}.json", msgspec.json.encode(result))
    artifacts.replace_document(f"keys/{path}.json", msgspec.json.encode(key))


def read_run(artifacts: ArtifactStore, dag: str, run: str) -> dict[str, TaskRecord]:
    """Return what a run's tasks did, by task.

    :raises UserError: there is no such run, or none of its tasks is a step.
    """
    folder = RunInfo(dag=dag, run=run, task="any").path.rpartition("/any/")[0]
    found: dict[str, TaskRecord] = {}
    for name in artifacts.documents(f"keys/{folder}"):  # sorted: a later try comes after an earlier one
        record = _read(artifacts, name.removeprefix("keys/"))
        run_of = record.spec.run
        found[run_of.task if run_of.map_index < 0 else f"{run_of.task}[{run_of.map_index}]"] = record
    if not found:
        raise UserError(
            f"There is no record of a run {run!r} of {dag!r}.",
            hint="Name it as DAG/RUN, for example digits_model/manual__2026-11-21T20:00:00+00:00.",
        )
    return found


def _read(artifacts: ArtifactStore, path: str) -> TaskRecord:
    documents = {kind: artifacts.document(f"{kind}/{path}") or b"" for kind in ("specs", "results", "keys")}
    return TaskRecord(
        spec=decode_spec(documents["specs"]),
        key=msgspec.json.decode(documents["keys"], type=Key),
        result=decode_result(documents["results"], f"results/{path}"),
    )
