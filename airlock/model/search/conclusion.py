"""The end of a search: nothing left running, the best trial found, every trial accounted for."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import AirlockError, ResourceError, UserError
from airlock.governance.searches import SearchSummary, TrialFigures
from airlock.model.search.space import merged
from airlock.model.search.spec import Search
from airlock.model.search.trials import OUTCOME, PREEMPTIONS, RUN, Outcome, claim_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
FEWEST_FOR_IMPORTANCE = 4


def summarize(study: "Study", search: Search, parameters: Mapping[str, Any], run_id: str) -> SearchSummary:
    """Return what came of a study in which every trial has ended.

    :param parameters: the base parameters.
    :param run_id: the MLflow run that the trials' runs belong to.
    """
    trials = [figures(trial) for trial in study.get_trials(deepcopy=False)]
    best = best_of(trials, search.direction)
    return SearchSummary(
        study=study.study_name,
        metric=search.metric,
        direction=search.direction,
        sampler=str(search.sampler),
        pruner=str(search.pruner),
        keep=[str(rule) for rule in search.keep],
        budget=search.budget,
        best=best.number if best else None,
        value=best.value if best else None,
        parameters=merged(parameters, best.parameters) if best else {},
        importance=importance(study),
        trials=trials,
        run_id=run_id,
    )


def figures(trial: "FrozenTrial") -> TrialFigures:
    """Return what is known of a trial that has ended."""
    claim = claim_of(trial)
    outcome = msgspec.convert(trial.user_attrs.get(OUTCOME, {"reason": ""}), Outcome)
    ended = trial.datetime_complete
    return TrialFigures(
        number=trial.number,
        state=STATES[trial.state.name],  # type: ignore[arg-type]
        value=trial.value if trial.state.name == "COMPLETE" else None,
        parameters=dict(trial.params),
        curve=sorted(trial.intermediate_values.items()),
        reason="" if trial.state.name == "COMPLETE" else outcome.reason,
        category=outcome.category if trial.state.name == "FAIL" else None,
        preemptions=trial.user_attrs.get(PREEMPTIONS, 0),
        worker=claim.owner if claim else "",
        run_id=trial.user_attrs.get(RUN, ""),
        seconds=ended.timestamp() - claim.begun if ended and claim else 0.0,
    )


def best_of(trials: Sequence[TrialFigures], direction: str) -> TrialFigures | None:
    """Return the best complete trial; of equals the first."""
    sign = 1 if direction == "minimize" else -1
    complete = [(sign * trial.value, trial.number, trial) for trial in trials if trial.value is not None]
    return min(complete)[2] if complete else None


def importance(study: "Study") -> dict[str, float]:
    """Return each parameter's share in the metric's variance, largest first; empty when there is too little to say."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    if len(complete) < FEWEST_FOR_IMPORTANCE or len({trial.value for trial in complete}) == 1:
        return {}
    found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {name: float(share) for name, share in found.items()}


def require_a_best(summary: SearchSummary) -> None:
    """Check that the search found something.

    :raises AirlockError: no trial is complete. The class and the message are those of most of the failures.
    """
    if summary.best is not None:
        return
    failed = [trial for trial in summary.trials if trial.state == "failed"]
    counts = f"{summary.counts['pruned']} of {len(summary.trials)} trials were stopped early, {len(failed)} failed"
    if not failed:
        raise UserError(
            f"No trial is complete: {counts}. {_most_frequent([trial.reason for trial in summary.trials])}",
            hint="Loosen keep or the pruner: they stop trials that nothing better was ever found for.",
        )
    category = Counter(trial.category for trial in failed).most_common(1)[0][0]
    # Never infrastructure: its retry would find the same trials, which have all ended.
    kind: type[AirlockError] = ResourceError if category == "resource" else UserError
    raise kind(
        f"No trial is complete: {counts}. {_most_frequent([trial.reason for trial in failed])}",
        hint="Correct what it names, or narrow vary; then clear the workers.",
    )


def _most_frequent(reasons: Sequence[str]) -> str:
    reason, count = Counter(reasons).most_common(1)[0]
    return f"Most frequent ({count} times): {reason}"
