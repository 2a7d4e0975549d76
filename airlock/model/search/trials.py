"""Who works on which trial. The tasks' tries are the truth about that: there is no heartbeat and no time-out.

A trial carries its claim: the worker's name without its try, and a count that every claim raises. A new try of a worker
knows that the one before it is gone, and puts that one's trials back; the conclusion knows that all workers are. A try
that Airflow gave up and that still runs finds another count on its trial, and stops.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import Category, InfrastructureError
from airlock.model.search.methods import grid_point, make_sampler
from airlock.model.search.spec import Search
from airlock.model.search.study import Studies

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

CLAIM, PREEMPTIONS, OUTCOME, RUN = "claim", "preemptions", "outcome", "mlflow_run"
"""Names of what Airlock writes on a trial."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """:param owner: the worker, without its try.
    :param count: how many claims there were, this one included.
    :param begun: seconds since the epoch of the first one.
    """

    owner: str
    count: int
    begun: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a trial ended, when it is not complete.

    :param category: of a failure.
    """

    reason: str
    category: Category | None = None


class Superseded(InfrastructureError):
    """Another try has this trial now."""


class Trials:
    """A study's trials, as one worker sees them.

    :param owner: the worker's name, the same for each of its tries.
    """

    def __init__(self, studies: Studies, study: "Study", search: Search, owner: str) -> None:
        self.studies = studies
        self.study = study
        self.search = search
        self.owner = owner

    def recover(self) -> list[int]:
        """Put back what the try before this one was at; return the trials' numbers."""
        with self.studies.locked(self.study.study_name), self.studies.errors():
            return [
                trial.number
                for trial in self._trials("RUNNING")
                if (claim := claim_of(trial)) and claim.owner == self.owner and self._put_back(trial, claim)
            ]

    def claim(self) -> "Trial | None":
        """Return a trial to work on: one that was put back, else a new one; ``None`` when the budget is spent.

        Its parameters are chosen under the lock: every sampler sees the trials of all workers, and no two workers
        the same trials.
        """
        with self.studies.locked(self.study.study_name), self.studies.errors():
            known = self.study.get_trials(deepcopy=False)
            waiting = next((trial for trial in known if trial.state.name == "WAITING"), None) or self._new(len(known))
            if waiting is None:
                return None
            return self._take(waiting)

    def holds(self, trial: "FrozenTrial", count: int) -> bool:
        """Say whether a trial as it is now is still the claim of that count."""
        claim = claim_of(trial)
        return not trial.state.is_finished() and claim is not None and (claim.owner, claim.count) == (self.owner, count)

    def release(self, trial: "Trial") -> None:
        """Put a trial back because a service is away, for this or another worker to go on with."""
        with self.studies.locked(self.study.study_name), self.studies.errors():
            found = self._frozen(trial._trial_id)
            claim = claim_of(found)
            if claim and claim.owner == self.owner and found.state.name == "RUNNING":
                self._put_back(found, claim)

    def end(self, trial: "Trial", value: float | None, outcome: Outcome | None) -> None:
        """End a trial: complete with a value, else as its outcome says.

        :param value: of the search's metric; for a trial that was stopped or failed, ``None``.
        """
        from optuna.trial import TrialState

        with self.studies.errors():
            if outcome is not None:
                trial.set_user_attr(OUTCOME, msgspec.to_builtins(outcome))
            state = (
                TrialState.COMPLETE if outcome is None else TrialState.FAIL if outcome.category else TrialState.PRUNED
            )
            self.study.tell(trial, value, state)

    def settle(self) -> list["FrozenTrial"]:
        """End every trial that is left over as failed: all workers are gone. Return these trials."""
        with self.studies.locked(self.study.study_name), self.studies.errors():
            left = self._trials("RUNNING", "WAITING")
            for trial in left:
                claim = claim_of(trial)
                who = claim.owner if claim else "nobody"
                reason = f"left over at the end of the search: {who} went away and no worker was left to go on with it"
                self._fail(trial, Outcome(reason=reason, category="infrastructure"))
        return left

    def _trials(self, *states: str) -> list["FrozenTrial"]:
        from optuna.trial import TrialState

        found: list[FrozenTrial] = self.study.get_trials(
            deepcopy=False, states=tuple(TrialState[name] for name in states)
        )
        return found

    def _frozen(self, trial_id: int) -> "FrozenTrial":
        return self.study._storage.get_trial(trial_id)

    def _new(self, number: int) -> "FrozenTrial | None":
        if number >= self.search.budget:
            return None
        claim = Claim(owner=self.owner, count=0, begun=time.time())
        grid = {name: each.values() for name, each in self.search.vary.items()}
        fixed = grid_point(grid, self.search.seed, number) if self.search.sampler.name == "grid" else {}
        self.study.enqueue_trial(fixed, user_attrs={CLAIM: msgspec.to_builtins(claim)})
        return self._trials("WAITING")[0]

    def _take(self, waiting: "FrozenTrial") -> "Trial":
        """Claim first, then set it running: killed in between, it waits for the next worker."""
        from optuna.trial import Trial, TrialState

        before = claim_of(waiting)
        claim = Claim(owner=self.owner, count=before.count + 1 if before else 1, begun=before.begun if before else 0)
        storage = self.study._storage
        storage.set_trial_user_attr(waiting._trial_id, CLAIM, msgspec.to_builtins(claim))
        storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
        self.study.sampler = make_sampler(self.search.sampler, self.search.seed, waiting.number)
        trial = Trial(self.study, waiting._trial_id)
        for name, each in self.search.vary.items():
            each.suggest(trial, name)
        return trial

    def _put_back(self, trial: "FrozenTrial", claim: Claim) -> bool:
        """Have it wait again, unless it was preempted too often; say whether it waits."""
        from optuna.trial import TrialState

        limit = self.search.max_preemptions
        storage = self.study._storage
        storage.set_trial_user_attr(trial._trial_id, PREEMPTIONS, claim.count)  # not +1: done twice, it stays right
        if claim.count > limit:
            reason = f"its worker went away {claim.count} times, more than max_preemptions {limit}: it may be the cause"
            self._fail(trial, Outcome(reason=reason, category="resource"))
            return False
        storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        return True

    def _fail(self, trial: "FrozenTrial", outcome: Outcome) -> None:
        from optuna.trial import TrialState

        self.study._storage.set_trial_user_attr(trial._trial_id, OUTCOME, msgspec.to_builtins(outcome))
        self.study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def claim_of(trial: "FrozenTrial | Trial") -> Claim | None:
    """Return a trial's claim."""
    found = trial.user_attrs.get(CLAIM)
    return msgspec.convert(found, Claim) if found else None


def once(trials: Trials, name: str, make: Callable[[], str]) -> str:
    """Return what all workers of a study share by a name; made by the first that asks."""
    with trials.studies.locked(trials.study.study_name), trials.studies.errors():
        known: dict[str, Any] = trials.study.user_attrs
        if name not in known:
            trials.study.set_user_attr(name, make())
        return str(trials.study.user_attrs[name])
