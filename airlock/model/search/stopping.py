"""Whether a trial must stop after an epoch, and why: the rules of ``keep`` first, then the pruner."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airlock.model.search.keep import METRICS, Rule, Standing, Top
from airlock.model.search.methods import make_pruner
from airlock.model.search.spec import Search

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial


class Pruned(Exception):
    """The trial was stopped; the message says why."""


class Stopping:
    """The rules and the pruner of a search, over one study."""

    def __init__(self, study: "Study", search: Search) -> None:
        self.study = study
        self.search = search
        study.pruner = make_pruner(search.pruner, search.epochs)

    def report(self, trial: "Trial", latest: "FrozenTrial", epoch: int, metrics: dict[str, float]) -> None:
        """Keep an epoch's figures: the search's metric, and what a rule asks for at this epoch.

        :param latest: the trial as the storage had it just now; told too, which saves asking again.
        """
        value = metrics[self.search.metric]
        trial.report(value, epoch)
        latest.intermediate_values = latest.intermediate_values | {epoch: value}
        for rule in self.search.keep:
            if rule.at == epoch and rule.by != self.search.metric:
                trial.set_user_attr(_name(rule), metrics[rule.by])
                latest.user_attrs = latest.user_attrs | {_name(rule): metrics[rule.by]}

    def looks(self, epoch: int) -> bool:
        """Say whether anything may stop a trial after an epoch."""
        return self.search.pruner.name != "none" or any(rule.at <= epoch for rule in self.search.keep)

    def reason(self, trial: "FrozenTrial", epoch: int) -> str:
        """Say why a trial must stop after the epoch that was just reported; empty when it may go on."""
        for rule in self.search.keep:
            if objection := self._objection(rule, trial, epoch):
                return objection
        if self.search.pruner.name != "none" and self.study.pruner.prune(self.study, trial):
            return self._comparison(trial, epoch)
        return ""

    def _objection(self, rule: Rule, trial: "FrozenTrial", epoch: int) -> str:
        """A threshold is looked at once; who leads changes as long as others arrive."""
        mine = self._standing(rule, trial)
        if mine is None or epoch < rule.at or (epoch > rule.at and not isinstance(rule, Top)):
            return ""
        others = self._others(trial) if isinstance(rule, Top) else []
        return rule.objection(mine, [each for other in others if (each := self._standing(rule, other))])

    def _standing(self, rule: Rule, trial: "FrozenTrial") -> Standing | None:
        own = rule.by == self.search.metric
        value = trial.intermediate_values.get(rule.at) if own else trial.user_attrs.get(_name(rule))
        return None if value is None else Standing(trial.number, value)

    def _others(self, trial: "FrozenTrial") -> Sequence["FrozenTrial"]:
        found = self.study.get_trials(deepcopy=False)
        return [other for other in found if other.number != trial.number and other.state.name != "FAIL"]

    def _comparison(self, trial: "FrozenTrial", epoch: int) -> str:
        """Put a pruner's yes or no in figures."""
        mine = trial.intermediate_values[epoch]
        sign = 1 if METRICS[self.search.metric] == "minimize" else -1
        others = [other.intermediate_values.get(epoch) for other in self._others(trial)]
        arrived = [value for value in others if value is not None]
        better = sum(sign * value < sign * mine for value in arrived)
        said = f"{self.search.pruner}: {self.search.metric} {mine:.4g} at epoch {epoch}"
        return f"{said}, {better} of {len(arrived)} trials that got there are better"


def _name(rule: Rule) -> str:
    return f"keep {rule.by} at {rule.at}"
