"""A search's specification: a plain document in a use case, checked when its DAG is parsed. Optuna is not imported."""

from collections.abc import Collection, Mapping
from math import prod
from typing import Any, Literal

import msgspec

from airlock.errors import UserError
from airlock.model.search.keep import METRICS, Rule, read_rules
from airlock.model.search.methods import PRUNERS, SAMPLERS, Method, pruner_problems, read_method
from airlock.model.search.space import DATA, NETWORK, Choices, Range, Space, read_space

EPOCHS = 10
"""What a training does when ``epochs`` is not set; see :class:`airlock.model.training.Schedule`."""


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What to try, how to choose, and when to stop.

    :param trials: how many combinations are tried, by all workers together.
    :param keep: rules that stop losing trials.
    :param vary: by parameter, a range or choices.
    :param epochs: most epochs of a trial.
    :param workers: how many tasks train at the same time.
    :param checkpoint_seconds: time between a trial's checkpoints; 0 for one after every epoch.
    :param max_preemptions: a trial whose worker went away more often is ended as failed: it may be the cause.
    """

    trials: int
    sampler: Method
    pruner: Method
    metric: str
    direction: Literal["minimize", "maximize"]
    keep: tuple[Rule, ...] = ()
    vary: Space
    epochs: int
    seed: int = 0
    workers: int = 1
    checkpoint_seconds: float = 10.0
    max_preemptions: int = 10

    @property
    def budget(self) -> int:
        """Trials there will be: a grid may have fewer combinations than are asked for."""
        return min(self.trials, grid_size(self.vary)) if self.sampler.name == "grid" else self.trials


KNOWN = {*Search.__struct_fields__} - {"epochs"}


def read_search(document: Any, parameters: Mapping[str, Any], data: Collection[str] | None = None) -> Search:
    """Read a specification.

    :param document: see docs/search.md.
    :param parameters: the use case's, of which the search varies some.
    :param data: names of the tensors there are to choose from; ``None`` when there is no choice.
    :raises UserError: it is not valid; every problem is named.
    """
    problems: list[str] = []
    if not isinstance(document, Mapping):
        raise UserError("The search is no mapping.", hint="See docs/search.md.")
    problems += [
        f"there is no setting {name!r}; there are {', '.join(sorted(KNOWN))}" for name in document.keys() - KNOWN
    ]
    vary = read_space(document.get("vary"), problems)
    epochs = _epochs(vary, parameters)
    numbers = _numbers(document, problems)
    sampler = read_method("sampler", document.get("sampler", "tpe"), SAMPLERS, problems)
    pruner = read_method("pruner", document.get("pruner", "none"), PRUNERS, problems)
    rules = read_rules(document.get("keep", ()), epochs, numbers["trials"], problems)
    metric, direction = _goal(document, problems)
    if not problems:
        pruner_problems(pruner, epochs, problems)
        problems += _contradictions(sampler, vary, numbers, data)
    if problems:
        listed = "; ".join(problems)
        raise UserError(f"The search is not valid: {listed}.", hint="Correct it in the use case; see docs/search.md.")
    return Search(
        sampler=sampler,
        pruner=pruner,
        metric=metric,
        direction=direction,  # type: ignore[arg-type]
        keep=rules,
        vary=vary,
        epochs=epochs,
        **numbers,
    )


def grid_size(vary: Space) -> int:
    """Return the number of combinations; 0 when there are infinitely many."""
    return prod(len(each.values()) for each in vary.values())


def _numbers(document: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for name, least, default in (("trials", 1, None), ("seed", 0, 0), ("workers", 1, 1), ("max_preemptions", 0, 10)):
        value = document.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            problems.append(f"{name} must be a whole number of at least {least}, not {value!r}")
            value = least
        numbers[name] = value
    seconds = document.get("checkpoint_seconds", 10.0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        problems.append(f"checkpoint_seconds must be a number of at least 0, not {seconds!r}")
        seconds = 0
    return numbers | {"checkpoint_seconds": float(seconds)}


def _goal(document: Mapping[str, Any], problems: list[str]) -> tuple[str, str]:
    metric = document.get("metric", "val_loss")
    if metric not in METRICS:
        problems.append(f"there is no metric {metric!r}; there are {', '.join(METRICS)}")
        return "val_loss", "minimize"
    direction = document.get("direction", METRICS[metric])
    if direction != METRICS[metric]:
        problems.append(f"direction {direction!r} contradicts metric {metric}: one must {METRICS[metric]} it")
    return metric, METRICS[metric]


def _epochs(vary: Space, parameters: Mapping[str, Any]) -> int:
    varied = vary.get("epochs")
    found = [varied.high] if isinstance(varied, Range) else list(varied.of) if isinstance(varied, Choices) else []
    whole = [value for value in (found or [parameters.get("epochs", EPOCHS)]) if isinstance(value, int)]
    return max(whole, default=EPOCHS)


def _contradictions(
    sampler: Method, vary: Space, numbers: Mapping[str, Any], data: Collection[str] | None
) -> list[str]:
    found = []
    if numbers["workers"] > numbers["trials"]:
        found.append(f"{numbers['workers']} workers have only {numbers['trials']} trials to share")
    if sampler.name == "grid":
        endless = [name for name, each in vary.items() if not each.values() or (isinstance(each, Range) and each.log)]
        found += [f"sampler grid needs a list or a step, without log, for {name}" for name in endless]
        if not endless and grid_size(vary) > numbers["trials"]:
            found.append(f"the grid has {grid_size(vary)} combinations, more than the {numbers['trials']} trials")
    for name in (NETWORK, DATA):
        if isinstance(vary.get(name), Range):
            found.append(f"vary {name}: its choices must be a list of names")
    if isinstance(chosen := vary.get(DATA), Choices) and (unknown := set(map(str, chosen.of)) - set(data or ())):
        found.append(f"vary data: there are no tensors {', '.join(sorted(unknown))}; pass tensors by name")
    if data and DATA not in vary and len(data) > 1:
        found.append(f"there are the tensors {', '.join(sorted(data))}, but vary does not say which to take: add data")
    return found
