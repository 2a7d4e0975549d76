"""What a hyperparameter search says about itself, as a document: read without Optuna wherever a person judges."""

from typing import Any, Literal, get_args

import msgspec

from airlock.errors import Category

Ending = Literal["complete", "pruned", "failed"]


class TrialFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One trial.

    :param value: of the search's metric at the epoch whose weights a training would keep; ``None`` unless complete.
    :param parameters: the values tried.
    :param curve: epoch and the search's metric after it.
    :param reason: why it was stopped, or why it failed.
    :param category: of its failure: who must act.
    :param preemptions: times its worker went away and it was taken up again.
    :param worker: the task that ended it.
    :param run_id: its run in MLflow.
    :param seconds: from its first beginning to its end, waiting to be taken up again included.
    """

    number: int
    state: Ending
    value: float | None = None
    parameters: dict[str, Any]
    curve: list[tuple[int, float]] = []
    reason: str = ""
    category: Category | None = None
    preemptions: int = 0
    worker: str = ""
    run_id: str = ""
    seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return self.curve[-1][0] if self.curve else 0


class SearchSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A search that is over.

    :param study: its name in Optuna's tables.
    :param direction: whether the metric is better when smaller.
    :param keep: the rules that stopped losing trials, as texts.
    :param budget: trials asked for; there are fewer when workers were lost.
    :param best: number of the best trial; ``None`` when none was complete.
    :param parameters: the base parameters with the best trial's over them.
    :param importance: share of the metric's variance that each parameter explains (PED-ANOVA; Watanabe et al. 2023);
        empty when there are too few trials to say.
    :param run_id: the MLflow run that the trials' runs belong to.
    """

    study: str
    metric: str
    direction: Literal["minimize", "maximize"]
    sampler: str
    pruner: str
    keep: list[str] = []
    budget: int
    best: int | None = None
    value: float | None = None
    parameters: dict[str, Any] = {}
    importance: dict[str, float] = {}
    trials: list[TrialFigures] = []
    run_id: str = ""

    @property
    def counts(self) -> dict[Ending, int]:
        """Trials by how they ended."""
        states = [trial.state for trial in self.trials]
        return {state: states.count(state) for state in get_args(Ending)}

    @property
    def preemptions(self) -> int:
        """Times any trial's worker went away."""
        return sum(trial.preemptions for trial in self.trials)

    @property
    def epochs(self) -> int:
        """Epochs trained by all trials."""
        return sum(trial.epochs for trial in self.trials)
