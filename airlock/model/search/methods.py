"""Samplers and pruners by name: which there are, what can be set about them, and how Optuna makes them.

Sources: TPE (Bergstra et al. 2011, Watanabe 2023), ASHA (Li et al. 2020, A system for massively parallel
hyperparameter tuning), Hyperband (Li et al. 2018), median stopping (Golovin et al. 2017).
"""

import hashlib
import itertools
import random
import warnings
from collections.abc import Mapping
from typing import Any

import msgspec

Options = dict[str, int | float]

SAMPLERS: dict[str, dict[str, type]] = {
    "tpe": {"n_startup_trials": int},
    "gp": {"n_startup_trials": int},
    "qmc": {},
    "random": {},
    "grid": {},
}
PRUNERS: dict[str, dict[str, type]] = {
    "asha": {"min_resource": int, "reduction_factor": int, "min_early_stopping_rate": int},
    "hyperband": {"min_resource": int, "max_resource": int, "reduction_factor": int},
    "median": {"n_startup_trials": int, "n_warmup_steps": int, "interval_steps": int, "n_min_trials": int},
    "threshold": {"lower": float, "upper": float, "n_warmup_steps": int, "interval_steps": int},
    "none": {},
}
SMALLEST = {"reduction_factor": 2, "min_resource": 1, "max_resource": 1, "interval_steps": 1, "n_min_trials": 1}


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """A sampler or pruner, and what was set about it."""

    name: str
    options: Options = {}

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value:g}" for name, value in self.options.items())
        return f"{self.name} ({told})" if told else self.name


def read_method(kind: str, value: Any, known: Mapping[str, Mapping[str, type]], problems: list[str]) -> Method:
    """Read a name, or ``{"name": …, OPTION: …}``; what is wrong is added to the problems."""
    options = dict(value) if isinstance(value, Mapping) else {"name": value}
    name = options.pop("name", None)
    if not isinstance(name, str) or name not in known:
        problems.append(f"there is no {kind} {name!r}; there are {', '.join(known)}")
        return Method(name="none")
    for option, given in options.items():
        wanted = known[name].get(option)
        if wanted is None:
            problems.append(f"{kind} {name} has no option {option!r}; it has {', '.join(known[name]) or 'none'}")
        elif isinstance(given, bool) or not isinstance(given, int if wanted is int else (int, float)):
            problems.append(f"{kind} {name}: {option} must be a {'whole ' if wanted is int else ''}number")
        elif wanted is int and given < SMALLEST.get(option, 0):
            problems.append(f"{kind} {name}: {option} must be at least {SMALLEST.get(option, 0)}")
    return Method(name=name, options=options)


def pruner_problems(pruner: Method, epochs: int, problems: list[str]) -> None:
    """Add what contradicts itself in a pruner that was read without problems."""
    options = pruner.options
    if pruner.name == "threshold" and not {"lower", "upper"} & options.keys():
        problems.append("pruner threshold needs lower or upper")
    if pruner.name == "threshold" and options.get("lower", 0) > options.get("upper", options.get("lower", 0)):
        problems.append("pruner threshold: lower is larger than upper")
    if options.get("min_resource", 1) > options.get("max_resource", epochs):
        largest = options.get("max_resource", epochs)
        problems.append(f"pruner {pruner.name}: min_resource is larger than the {largest} epochs there are")


def make_pruner(pruner: Method, epochs: int) -> Any:
    """Return Optuna's pruner; a step of it is an epoch."""
    from optuna import pruners

    options: dict[str, Any] = dict(pruner.options)
    match pruner.name:
        case "asha":
            return pruners.SuccessiveHalvingPruner(**({"min_resource": 1, "reduction_factor": 3} | options))
        case "hyperband":
            return pruners.HyperbandPruner(**({"max_resource": epochs} | options))
        case "median":
            return pruners.MedianPruner(**options)
        case "threshold":
            return pruners.ThresholdPruner(**options)
    return pruners.NopPruner()


def make_sampler(sampler: Method, seed: int, number: int) -> Any:
    """Return Optuna's sampler for one trial; a grid's trials have their values already.

    What is drawn follows from seed, trial number and the trials there are, not from which worker draws: two workers
    with generators of one seed would try the same values, and one that was restarted would try its first ones again.
    """
    from optuna import samplers
    from optuna.exceptions import ExperimentalWarning

    own = int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4])
    options: dict[str, Any] = dict(sampler.options)
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        match sampler.name:
            case "tpe":
                return samplers.TPESampler(seed=own, **options)
            case "gp":
                return samplers.GPSampler(seed=own, **options)
            case "qmc":  # one sequence for all trials; what has no order is drawn apart from it
                apart = samplers.RandomSampler(seed=own)
                return samplers.QMCSampler(
                    scramble=True, seed=seed, independent_sampler=apart, warn_independent_sampling=False
                )
        return samplers.RandomSampler(seed=own)


def grid_point(grid: Mapping[str, list[Any]], seed: int, number: int) -> dict[str, Any]:
    """Return the combination that a trial of a grid tries. Their order is shuffled: a part of them is a fair sample.

    Optuna's own grid sampler gives two workers the same combination now and then.
    """
    points = list(itertools.product(*grid.values()))
    random.Random(seed).shuffle(points)
    return dict(zip(grid, points[number], strict=True))
