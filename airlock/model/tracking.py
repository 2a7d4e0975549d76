"""A training's run in MLflow: parameters, tags, metrics per epoch, files and the model, over HTTP.

One run per chain of tries: a try that takes over from a killed one goes on in its run. The state at the end is the
truth: FINISHED, FAILED, or KILLED when nobody went on with it.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from airlock.errors import AirlockError, InfrastructureError, IntegrityError, UserError
from airlock.model.names import CHAIN, parameter_name
from airlock.references import TrackingRun

# Retrying is Airflow's business; a step that waits minutes for a dead server hides why.
CLIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


PARENT = "mlflow.parentRunId"


class Point(NamedTuple):
    """The metrics of one epoch.

    :param time: when it ended, in seconds since the epoch of clocks.
    """

    epoch: int
    metrics: dict[str, float]
    time: float


class Tracking:
    """A client of one tracking server.

    :param url: its address.
    :raises InfrastructureError: it does not answer.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._require_alive()
        os.environ.update({name: value for name, value in CLIENT.items() if name not in os.environ})
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=self.url, registry_uri=self.url)

    def start(self, experiment: str, name: str, chain: str, tags: Mapping[str, str]) -> "TrackedRun":
        """Start a run, or go on with the unfinished one of the same chain of tries.

        :param experiment: its name; made when there is none.
        :param chain: what the tries of one training have in common.
        """
        with self.errors():
            number = self._experiment(experiment)
            where = f"tags.`{CHAIN}` = '{chain}' and attributes.status != 'FINISHED'"
            found = self.client.search_runs([number], where, max_results=1)
            all_tags = {**tags, CHAIN: chain}
            if not found:
                return self.create(experiment, number, name, all_tags)
            self.client.update_run(found[0].info.run_id, status="RUNNING")
            return TrackedRun(self, TrackingRun(run_id=found[0].info.run_id, experiment=experiment), number)

    def create(self, experiment: str, experiment_id: str, name: str, tags: Mapping[str, str]) -> "TrackedRun":
        """Start a run that nobody has begun before.

        :param experiment_id: MLflow's number of the experiment.
        """
        with self.errors():
            run = self.client.create_run(experiment_id, run_name=name, tags=dict(tags))
        reference = TrackingRun(run_id=run.info.run_id, experiment=experiment)
        return TrackedRun(self, reference, experiment_id, fresh=True)

    def open(self, reference: TrackingRun) -> "TrackedRun":
        """Return a run that exists.

        :raises IntegrityError: it does not.
        """
        with self.errors():
            run = self.client.get_run(reference.run_id)
        return TrackedRun(self, reference, run.info.experiment_id)

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self.client.create_experiment(name))
        except MlflowException as error:  # another training made it just now
            if error.error_code == "RESOURCE_ALREADY_EXISTS" and (found := self.client.get_experiment_by_name(name)):
                return str(found.experiment_id)
            raise

    def _require_alive(self) -> None:
        import httpx

        try:
            httpx.get(f"{self.url}/health", timeout=15).raise_for_status()
        except httpx.HTTPError as error:
            raise InfrastructureError(
                f"The tracking server {self.url} does not answer: {error}.", hint="See `airlock status`."
            ) from error

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Give what MLflow raises one of our classes."""
        from mlflow.exceptions import MlflowException
        from requests import RequestException

        try:
            yield
        except MlflowException as error:
            message = f"The tracking server {self.url} refused: {str(error).splitlines()[0]}."
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise IntegrityError(message, hint="Run the train step again with cache=False.") from error
            if error.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE"):
                raise UserError(message, hint="Correct the experiment's name or the parameters.") from error
            raise InfrastructureError(message, hint="See `airlock status`.") from error
        except RequestException as error:  # uploads through the server are not wrapped by MLflow
            raise InfrastructureError(
                f"The tracking server {self.url} broke off: {error}.", hint="See `airlock status`."
            ) from error


class TrackedRun:
    """One run.

    :param experiment_id: MLflow's number of its experiment.
    :param fresh: made just now: nothing has been logged.
    """

    def __init__(self, tracking: Tracking, reference: TrackingRun, experiment_id: str, *, fresh: bool = False) -> None:
        self.tracking = tracking
        self.reference = reference
        self.fresh = fresh
        self._id = reference.run_id
        self._experiment_id = experiment_id

    def child(self, name: str, tags: Mapping[str, str]) -> "TrackedRun":
        """Start a run under this one."""
        tags = {PARENT: self._id, **tags}
        return self.tracking.create(self.reference.experiment, self._experiment_id, name, tags)

    @property
    def url(self) -> str:
        """Its page in MLflow."""
        return f"{self.tracking.url}/#/experiments/{self._experiment_id}/runs/{self._id}"

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Log parameters; the same again is no error."""
        self.curve([], values)

    def metrics(self, values: Mapping[str, float]) -> None:
        """Log metrics that have no epoch."""
        self.curve([Point(0, dict(values), time.time())])

    def curve(self, points: Sequence[Point], parameters: Mapping[str, Any] | None = None) -> None:
        """Log the metrics of some epochs, and parameters, at once."""
        from mlflow.entities import Metric, Param

        metrics = [
            Metric(name, float(value), int(point.time * 1000), point.epoch)
            for point in points
            for name, value in point.metrics.items()
        ]
        params = [Param(parameter_name(name), str(value)) for name, value in (parameters or {}).items()]
        with self.tracking.errors():
            self.tracking.client.log_batch(self._id, metrics=metrics, params=params)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags; the last writer wins."""
        from mlflow.entities import RunTag

        with self.tracking.errors():
            self.tracking.client.log_batch(self._id, tags=[RunTag(name, value) for name, value in values.items()])

    def text(self, text: str, name: str) -> None:
        """Log a text file."""
        with self.tracking.errors():
            self.tracking.client.log_text(self._id, text, name)

    def file(self, path: Path) -> None:
        """Log a file under its own name."""
        with self.tracking.errors():
            self.tracking.client.log_artifact(self._id, str(path))

    def steps(self, metric: str) -> set[int]:
        """Return the steps at which a metric was logged."""
        with self.tracking.errors():
            return {point.step for point in self.tracking.client.get_metric_history(self._id, metric)}

    @contextmanager
    def ending(self) -> Iterator["TrackedRun"]:
        """End the run with the block: FINISHED, KILLED when what it needs went away, FAILED when it raised otherwise.

        A killed run is one that another try may go on with.
        """
        try:
            yield self
        except BaseException as error:
            self._end("KILLED" if isinstance(error, InfrastructureError) else "FAILED")
            raise
        with self.tracking.errors():
            self.tracking.client.set_terminated(self._id, "FINISHED")

    def _end(self, status: str) -> None:
        import logging

        try:
            with self.tracking.errors():
                self.tracking.client.set_terminated(self._id, status)
        except AirlockError as error:  # what ended the run is the error to report
            logging.getLogger(__name__).warning("Could not mark run %s as %s: %s", self._id, status, error)
