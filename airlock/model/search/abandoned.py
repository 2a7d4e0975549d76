"""A worker or a conclusion that failed for good: its trials end, and the search's run when nobody is left to go on."""

from typing import TYPE_CHECKING

import msgspec

from airlock.model.registry import Registry
from airlock.model.search.study import Studies
from airlock.model.search.trials import OUTCOME, RUN, Outcome, claim_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

WHY = Outcome(
    reason="its worker failed for good while it trained this trial: read the worker's log", category="infrastructure"
)


def end_trials(studies: Studies, registry: Registry, prefix: str, owner: str) -> int:
    """End the trials that a worker left running, in the study and in MLflow; return how many there were.

    The runs of a search that no worker goes on with, and of trials that wait for one, are marked as killed; whoever
    goes on with them marks them anew.

    :param prefix: what the names of its studies begin with.
    :param owner: the worker, without its try; empty for whichever, when all have ended.
    :raises InfrastructureError: the database or the tracking server does not answer.
    """
    ended = 0
    for name in studies.names():
        if not name.startswith(prefix):
            continue
        with studies.locked(name), studies.errors():
            study = studies.open(name)
            trials = study.get_trials(deepcopy=False)
            running = [trial for trial in trials if trial.state.name == "RUNNING"]
            own = [trial for trial in running if owner in ("", _owner(trial))]
            for trial in own:
                _end(studies, trial)
        left = {str(trial.user_attrs.get(RUN, "")): "FAILED" for trial in own}
        if len(running) == len(own):
            waiting = [trial for trial in trials if trial.state.name == "WAITING"]
            left |= {str(each.user_attrs.get(RUN, "")): "KILLED" for each in (study, *waiting)}
        for run, status in left.items():
            registry.end_run(run, status)
        ended += len(own)
    return ended


def _end(studies: Studies, trial: "FrozenTrial") -> None:
    from optuna.trial import TrialState

    studies.storage.set_trial_user_attr(trial._trial_id, OUTCOME, msgspec.to_builtins(WHY))
    studies.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def _owner(trial: "FrozenTrial") -> str:
    """The worker that has a trial, whichever of its processes."""
    claim = claim_of(trial)
    return claim.owner.partition("#")[0] if claim else ""
