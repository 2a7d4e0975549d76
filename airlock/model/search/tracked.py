"""A search in MLflow: one parent run, and under it one run for each trial over all its interruptions."""

from collections.abc import Mapping
from typing import Any

from airlock.model.names import CHAIN
from airlock.model.search.trials import RUN, Trials, claim_of, once
from airlock.model.tracking import PARENT, TrackedRun, Tracking
from airlock.references import TrackingRun

PRUNED = "airlock.pruned"
FAILED = "airlock.failed"
TRIAL = "airlock.trial"
BEST = "best"
"""The metric of a trial's run that holds its value."""
LONGEST_TAG = 5000
"""Characters that MLflow takes."""


class TrackedSearch:
    """The runs of one study.

    :param experiment: MLflow experiment.
    :param tags: of the parent run.
    :raises InfrastructureError: the tracking server does not answer.
    """

    def __init__(self, tracking: Tracking, trials: Trials, experiment: str, tags: Mapping[str, str]) -> None:
        self.tracking = tracking
        self.experiment = experiment
        self.study = trials.study.study_name
        number = once(trials, RUN, lambda: tracking.start(experiment, self.study, self.study, tags).reference.run_id)
        self.parent = tracking.open(TrackingRun(run_id=number, experiment=experiment))

    def trial(self, trial: Any) -> TrackedRun:
        """Return a trial's run: a new one, or the one from before an interruption.

        :param trial: Optuna's, running.
        """
        known = trial.user_attrs.get(RUN)
        if known:
            run = self.tracking.open(TrackingRun(run_id=known, experiment=self.experiment))
            with self.tracking.errors():
                self.tracking.client.update_run(known, status="RUNNING")
        else:
            run = self._begun(trial)
            trial.set_user_attr(RUN, run.reference.run_id)
        return run

    def _begun(self, trial: Any) -> TrackedRun:
        """Begin a run, unless a worker began it that was killed before it could say so."""
        name, chain, tags = f"trial {trial.number}", f"{self.study}/{trial.number}", {TRIAL: str(trial.number)}
        claim = claim_of(trial)
        if claim and claim.count == 1:
            return self.parent.child(name, tags | {CHAIN: chain})
        return self.tracking.start(self.experiment, name, chain, tags | {PARENT: self.parent.reference.run_id})

    def url(self, run_id: str) -> str:
        """Return a run's page."""
        return f"{self.parent.url.rpartition('/')[0]}/{run_id}"

    def end(self, run_id: str, status: str, tags: Mapping[str, str] | None = None) -> None:
        """End a run: FINISHED also for a trial that was stopped, FAILED for one that failed."""
        from mlflow.entities import RunTag

        cut = [RunTag(name, value[:LONGEST_TAG]) for name, value in (tags or {}).items()]
        with self.tracking.errors():
            if cut:
                self.tracking.client.log_batch(run_id, tags=cut)
            self.tracking.client.set_terminated(run_id, status)
