"""A worker: takes trials from the study until the budget is spent. One trial's failure is that trial's own."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from airlock.errors import AirlockError, Category, InfrastructureError
from airlock.model.curves import Curves
from airlock.model.search.bench import Bench, checkpoints_of
from airlock.model.search.spec import Search
from airlock.model.search.stopping import Pruned, Stopping
from airlock.model.search.tracked import BEST, FAILED, PRUNED, TrackedSearch
from airlock.model.search.trials import Outcome, Superseded, Trials, claim_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

    from airlock.model.training import CheckpointStore, Trained

Classify = Callable[[Exception], tuple[Category, str]]
Progress = Callable[[int, int, dict[str, float]], None]
LOOK = 1.0
"""Seconds until a trial that nothing may stop is looked at again: whether it still is this worker's."""


class Worker:
    """One of a search's workers.

    :param progress: told a trial's number, its epoch and the figures after every epoch.
    :param classify: gives any exception its class and the text that people read.
    """

    def __init__(
        self, search: Search, trials: Trials, bench: Bench, runs: TrackedSearch, progress: Progress, classify: Classify
    ) -> None:
        self.search = search
        self.trials = trials
        self.bench = bench
        self.runs = runs
        self.progress = progress
        self.classify = classify
        self.stopping = Stopping(trials.study, search)
        self._seen: tuple[float, FrozenTrial] | None = None

    def run(self) -> int:
        """Work until there is nothing left to take; return the number of trials ended here.

        :raises InfrastructureError: a service went away. The trial waits to be gone on with.
        """
        self.trials.recover()
        ended = 0
        while (trial := self.trials.claim()) is not None:
            try:
                self._one(trial)
            except Superseded:
                raise
            except InfrastructureError:
                self._release(trial)
                raise
            ended += 1
        return ended

    def _one(self, trial: "Trial") -> None:
        checkpoints = checkpoints_of(self.bench.artifacts, self.trials.study.study_name, trial.number)
        with self.trials.studies.errors():
            run = self.runs.trial(trial)
        with Curves(run, trial.params) as curves:
            self._add_earlier(checkpoints, curves)
            value, outcome = self._train(trial, checkpoints, curves)
            if value is not None:
                curves.note({BEST: value})
            curves.close()
        failed = outcome is not None and outcome.category is not None
        tags = {FAILED if failed else PRUNED: outcome.reason} if outcome else {}
        self.runs.end(run.reference.run_id, "FAILED" if failed else "FINISHED", tags)
        self.trials.end(trial, value, outcome)
        checkpoints.clear()

    def _train(
        self, trial: "Trial", checkpoints: "CheckpointStore", curves: Curves
    ) -> tuple[float | None, Outcome | None]:
        """Train; return the trial's value, or why it has none."""
        claim = claim_of(trial)
        count = claim.count if claim else 0
        self._seen = None

        def report(epoch: int, metrics: dict[str, float]) -> None:
            curves.add(epoch, metrics)
            self.progress(trial.number, epoch, metrics)
            with self.trials.studies.errors():
                self._judge(trial, count, epoch, metrics)

        try:
            trained = self.bench.train(trial.params, checkpoints, self.search.checkpoint_seconds, report)
        except Pruned as stopped:
            return None, Outcome(reason=str(stopped))
        except Exception as error:  # the boundary of a trial: whatever its code raises ends it, and it alone
            return None, self._failure(error)
        with self.trials.studies.errors():
            self._look(trial, count)
        return self._value(trained), None

    def _judge(self, trial: "Trial", count: int, epoch: int, metrics: dict[str, float]) -> None:
        """Report an epoch, once however often it is trained; stop when that is the answer."""
        if self._seen and time.monotonic() < self._seen[0] and not self.stopping.looks(epoch):
            latest = self._seen[1]
        else:
            latest = self._look(trial, count)
        if epoch not in latest.intermediate_values:
            self.stopping.report(trial, latest, epoch, metrics)
        if reason := self.stopping.reason(latest, epoch):
            raise Pruned(reason)

    def _look(self, trial: "Trial", count: int) -> "FrozenTrial":
        """Return the trial as the storage has it now.

        :raises Superseded: it is not this try's any more.
        """
        latest = self.trials.study._storage.get_trial(trial._trial_id)
        if not self.trials.holds(latest, count):
            raise Superseded(
                f"Trial {trial.number} is not this try's any more: another one has it, or the search is over.",
                hint="Nothing to do: this try was given up.",
            )
        self._seen = (time.monotonic() + LOOK, latest)
        return latest

    def _add_earlier(self, checkpoints: "CheckpointStore", curves: Curves) -> None:
        """Log the epochs from before an interruption that had not been sent."""
        last = checkpoints.load()
        for epoch, metrics in enumerate(last.history if last else [], start=1):
            curves.add(epoch, metrics)

    def _value(self, trained: "Trained") -> float:
        """The metric at the epoch whose weights a training keeps."""
        return trained.history[trained.best_epoch - 1][self.search.metric]

    def _failure(self, error: Exception) -> Outcome:
        """Give a failure its class; a service that went away is none of the trial's business."""
        category, message = self.classify(error)
        if category == "infrastructure":
            if isinstance(error, AirlockError):
                raise error
            raise InfrastructureError(message) from error
        return Outcome(reason=message, category=category)

    def _release(self, trial: "Trial") -> None:
        """Try to; where the database itself is away, the next try puts the trial back."""
        import logging

        try:
            self.trials.release(trial)
        except InfrastructureError as error:
            logging.getLogger(__name__).warning("Trial %s stays with this worker: %s", trial.number, error)
