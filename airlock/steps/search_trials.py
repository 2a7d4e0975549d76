"""One of a search's workers: trains trials of a shared study until its budget is spent.

A try that follows a killed one puts that one's trials back and goes on with them: same number, same parameters, from
their last checkpoints.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import Category
from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.model.search.bench import Bench
    from airlock.model.search.spec import Search
    from airlock.model.search.tracked import TrackedSearch
    from airlock.model.search.trials import Trials

ENVIRONMENT = ("keras", "mlflow", "numpy", "optuna", "tensorflow", "torch")


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param tensors: what transform steps wrote, by the names that ``vary`` chooses them by.
    :param code: ``network.py`` or resolved architectures, likewise.
    :param classes: class names, in the order of the model's outputs.
    :param parameters: what every trial starts from; the varied ones go over them.
    :param space: the search, see :mod:`airlock.model.search.spec`.
    :param seed: of every trial's training.
    :param experiment: MLflow experiment.
    """

    tensors: dict[str, Artifact]
    code: dict[str, Artifact]
    classes: list[str]
    parameters: dict[str, Any] = {}
    space: dict[str, Any]
    seed: int = 0
    experiment: str


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param study: its name.
    :param ended: trials that ended here.
    """

    study: str
    ended: int


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Work on trials until none is left."""
    from airlock.model.search.spec import read_search
    from airlock.model.search.study import Studies
    from airlock.model.search.trials import Trials
    from airlock.model.search.worker import Worker
    from airlock.steps.interruption import noticed

    search = read_search(inputs.space, inputs.parameters, inputs.tensors)
    studies = Studies(context.database)
    study = studies.begin(study_name(inputs, context), search.direction)
    trials = Trials(studies, study, search, _owner(context))
    runs = _runs(inputs, context, trials)
    with noticed() as stopping:
        bench = _bench(inputs, context, stopping)
        ended = Worker(search, trials, bench, runs, _progress(search, context), _classify).run()
    context.metric("trials", ended)
    return Outputs(study=study.study_name, ended=ended)


def study_name(inputs: Inputs, context: StepContext) -> str:
    """Name the study by the run and group of tasks it belongs to, and by what decides what is searched.

    The environment is no part of it: workers with an accelerator and their conclusion may run in different images.
    """
    from airlock.steps.cache import Key
    from airlock.steps.source import source_digest

    values = msgspec.to_builtins(inputs)
    del values["experiment"]
    key = Key(step="search_trials", source=source_digest("search_trials"), inputs=values, environment={}).digest
    group = context.run.task.rpartition(".")[0]
    return "/".join([context.run.dag, context.run.run, *([group] if group else []), key[:12]])


def _owner(context: StepContext) -> str:
    """Name the worker without its try; a profile of several processes is as many workers."""
    return context.run.owner + (f"#{context.worker.index}" if context.worker.index else "")


def _runs(inputs: Inputs, context: StepContext, trials: "Trials") -> "TrackedSearch":
    from airlock.model.search.tracked import TrackedSearch
    from airlock.model.tracking import Tracking

    tags = {"airlock.search": trials.study.study_name, "airlock.seed": str(inputs.seed)}
    runs = TrackedSearch(Tracking(context.settings.tracking), trials, inputs.experiment, tags)
    context.link("MLflow run", runs.parent.url)
    return runs


def _bench(inputs: Inputs, context: StepContext, stopping: Callable[[], bool]) -> "Bench":
    from airlock.model.search.bench import Bench

    folders = {
        name: context.fetch(each, f"tensors-{place}") for place, (name, each) in enumerate(inputs.tensors.items())
    }
    code = {}
    for place, (name, each) in enumerate(inputs.code.items()):
        (context.workdir / f"code-{place}").mkdir()
        code[name] = context.fetch(each, f"code-{place}/{name}")
    return Bench(context.artifacts, folders, code, inputs.classes, inputs.parameters, inputs.seed, stopping)


def _progress(search: "Search", context: StepContext) -> Callable[[int, int, dict[str, float]], None]:
    def report(number: int, epoch: int, metrics: dict[str, float]) -> None:
        context.progress(number, search.budget, "trial", epoch=epoch, **metrics)

    return report


def _classify(error: Exception) -> tuple[Category, str]:
    from airlock.steps.runner import classify

    failure = classify(error)
    return failure.category, f"{failure.message} {failure.hint}".strip()
