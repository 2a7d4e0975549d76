"""The model registry (MLflow) over its REST interface: versions, aliases and tags, without importing MLflow.

Aliases mirror what the ledger says; nothing that Airlock serves is chosen by them.
"""

from typing import Any

import httpx
import msgspec

from airlock.errors import InfrastructureError, IntegrityError, UserError
from airlock.governance.manifest import CandidateManifest, load
from airlock.model.names import LOGGED_MODEL, MANIFEST, MODEL, TASK
from airlock.references import Artifact, ModelVersion, TrackingRun
from airlock.stores.artifacts import ArtifactStore

CHALLENGER = "challenger"
CHAMPION = "champion"
LONGEST = 5000  # characters of a description: MLflow's databases hold no more


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A run in the tracking server.

    :param parameters: as texts.
    :param url: its page there.
    """

    tags: dict[str, str]
    parameters: dict[str, str]
    status: str
    url: str


class Registry:
    """A tracking server's registry.

    :param url: the server's address.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=f"{self.url}/api/2.0/mlflow/", timeout=30)

    def run_facts(self, run: TrackingRun) -> "RunFacts":
        """Return what is known of a run.

        :raises IntegrityError: no such run.
        """
        found = self._call("GET", "runs/get", {"run_id": run.run_id})["run"]
        url = f"{self.url}/#/experiments/{found['info']['experiment_id']}/runs/{run.run_id}"
        parameters = {each["key"]: each["value"] for each in found["data"].get("params", [])}
        return RunFacts(tags=_tags(found["data"]), parameters=parameters, status=found["info"]["status"], url=url)

    def tag_run(self, run: TrackingRun, tags: dict[str, str]) -> None:
        """Set tags of a run."""
        for key, value in tags.items():
            self._call("POST", "runs/set-tag", {"run_id": run.run_id, "key": key, "value": value})

    def end_runs(self, experiment: str, task: str) -> int:
        """Mark the runs of a task that seem to be running as killed; return how many there were.

        :param experiment: name of the experiment.
        :param task: as the tag ``airlock.task`` names it.
        """
        try:
            found = self._call("GET", "experiments/get-by-name", {"experiment_name": experiment})
        except IntegrityError:
            return 0
        where = f"attributes.status = 'RUNNING' and tags.`{TASK}` = '{task}'"
        query = {"experiment_ids": [found["experiment"]["experiment_id"]], "filter": where}
        runs = self._call("POST", "runs/search", query).get("runs", [])
        for run in runs:
            self.end_run(run["info"]["run_id"], "KILLED")
        return len(runs)

    def end_run(self, run: str, status: str) -> None:
        """Mark a run that seems to be running as ended; one that is ended stays as it is, and none is nothing."""
        if run and self.run_facts(TrackingRun(run_id=run, experiment="")).status == "RUNNING":
            self._call("POST", "runs/update", {"run_id": run, "status": status})

    def create_version(self, name: str, run: TrackingRun, model: str) -> ModelVersion:
        """Make a version of the model that a run logged, or return one that was begun and got no manifest.

        :param name: of the registered model; made when there is none.
        :param model: digest of the model; the run must have logged exactly this one.
        :raises IntegrityError: the run logged another model, or none.
        """
        tags = self.run_facts(run).tags
        if tags.get(MODEL) != model or LOGGED_MODEL not in tags:
            raise IntegrityError(
                f"Run {run.run_id} logged the model {tags.get(MODEL, 'none')}, not {model}.",
                hint="Register the model and the run of the same train task.",
            )
        self._ensure_model(name)
        begun = [item for item in self._versions(name, run) if MANIFEST not in _tags(item)]
        number = begun[0]["version"] if begun else self._new_version(name, run, tags[LOGGED_MODEL], model)
        return ModelVersion(name=name, version=str(number))

    def tag_version(self, version: ModelVersion, tags: dict[str, str]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            body = {"name": version.name, "version": version.version, "key": key, "value": value}
            self._call("POST", "model-versions/set-tag", body)

    def describe_version(self, version: ModelVersion, text: str) -> None:
        """Set a version's description, Markdown."""
        body = {"name": version.name, "version": version.version, "description": text[:LONGEST]}
        self._call("PATCH", "model-versions/update", body)

    def version_tags(self, version: ModelVersion) -> dict[str, str]:
        """Return a version's tags."""
        query = {"name": version.name, "version": version.version}
        return _tags(self._call("GET", "model-versions/get", query)["model_version"])

    def set_alias(self, version: ModelVersion, alias: str) -> None:
        """Point an alias at a version, away from any other."""
        body = {"name": version.name, "version": version.version, "alias": alias}
        self._call("POST", "registered-models/alias", body)

    def alias(self, name: str, alias: str) -> ModelVersion | None:
        """Return the version an alias points at, ``None`` when it points nowhere."""
        try:
            reply = self._call("GET", "registered-models/alias", {"name": name, "alias": alias})
        except (IntegrityError, UserError):
            return None
        return ModelVersion(name=name, version=str(reply["model_version"]["version"]))

    def model(self, name: str, artifacts: ArtifactStore) -> Artifact | None:
        """Return the model of a version, as its manifest names it.

        :param name: ``model@alias`` or ``model/version``.
        :return: ``None`` when an alias points nowhere.
        :raises UserError: it is neither, or no registered candidate.
        """
        model, at, alias = name.partition("@")
        version: ModelVersion | None
        if at:
            version = self.alias(model, alias)
        else:
            model, _, number = name.partition("/")
            version = ModelVersion(name=model, version=number)
        if version is None:
            return None
        if not version.version.isdigit() or MANIFEST not in (tags := self.version_tags(version)):
            raise UserError(
                f"{name!r} is no registered candidate.", hint="Name one as digits@champion or digits/3; see MLflow."
            )
        return load(artifacts, tags[MANIFEST], CandidateManifest).model

    def version_url(self, version: ModelVersion) -> str:
        """Return a version's page."""
        return f"{self.url}/#/models/{version.name}/versions/{version.version}"

    def _ensure_model(self, name: str) -> None:
        try:
            self._call("GET", "registered-models/get", {"name": name})
        except IntegrityError:
            self._call("POST", "registered-models/create", {"name": name})

    def _versions(self, name: str, run: TrackingRun) -> list[dict[str, Any]]:
        query = {"filter": f"name='{name}' and run_id='{run.run_id}'"}
        versions: list[dict[str, Any]] = self._call("GET", "model-versions/search", query).get("model_versions", [])
        return versions

    def _new_version(self, name: str, run: TrackingRun, logged: str, model: str) -> str:
        body = {
            "name": name,
            "source": f"models:/{logged}",
            "run_id": run.run_id,
            "model_id": logged,
            "tags": [{"key": MODEL, "value": model}],
        }
        return str(self._call("POST", "model-versions/create", body)["model_version"]["version"])

    def _call(self, method: str, path: str, values: dict[str, Any]) -> dict[str, Any]:
        try:
            sent: dict[str, Any] = {"params": values} if method == "GET" else {"json": values}
            reply = self._http.request(method, path, **sent)
        except httpx.HTTPError as error:
            raise InfrastructureError(
                f"The tracking server {self.url} does not answer: {error}.", hint="See `airlock status`."
            ) from error
        if reply.status_code == 404:
            raise IntegrityError(f"The tracking server has no such thing: {_message(reply)}.")
        if reply.status_code in (400, 409):
            raise UserError(f"The tracking server refused {path}: {_message(reply)}.")
        if reply.is_error:
            raise InfrastructureError(
                f"The tracking server answered {reply.status_code} to {path}.", hint="See `airlock status`."
            )
        answer: dict[str, Any] = reply.json()
        return answer


def crown(tracking: str, store: ArtifactStore, candidate: str) -> None:
    """Let the registry name the version of a candidate's manifest champion; nothing is decided by it."""
    version = load(store, candidate, CandidateManifest).version
    move_alias(tracking, version.name, version.version, CHAMPION)


def move_alias(tracking: str, name: str, version: str, alias: str) -> None:
    """Point an alias of a registered model at a version.

    :param tracking: URL of the tracking server.
    :raises IntegrityError: no such version.
    """
    Registry(tracking).set_alias(ModelVersion(name=name, version=version), alias)


def _tags(holder: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in holder.get("tags", [])}


def _message(reply: httpx.Response) -> str:
    try:
        return str(reply.json()["message"])
    except (ValueError, KeyError):
        return f"HTTP {reply.status_code}"
