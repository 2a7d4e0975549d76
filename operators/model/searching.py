"""Searching hyperparameters: workers that share a study, and the task that concludes it."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.sdk import TaskGroup

from airlock.errors import AirlockError, UserError
from airlock.hooks.database import DatabaseHook
from airlock.hooks.sealed import resolved_settings
from airlock.model.search.space import NETWORK, merged
from airlock.model.search.spec import Search, read_search
from airlock.operators.compute import by_compute, profile
from airlock.operators.links import MLFLOW_RUN, REPORT
from airlock.operators.model.architecture import check_network, store_network
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator, rework_of, run_info
from airlock.steps.cache import Lookup
from airlock.steps.contract import Spec

if TYPE_CHECKING:
    from airflow.sdk import Context

ONLY = "only"
"""Name of the tensors where there is no choice."""


class SearchStep(StepOperator):
    """What the workers of a search and its conclusion have in common: the same inputs.

    :param tensors: the transformed dataset, or several by the names that ``vary`` chooses them by.
    :param code: path of the use case's ``network.py`` or architecture; ``vary`` may name others.
    :param classes: class names, in the order of the model's outputs.
    :param parameters: what every trial starts from.
    :param space: the search: what is varied, how, and which trials are kept.
    :param experiment: MLflow experiment.
    :param seed: seed of every trial's training.
    :raises UserError: the search is not valid, when the DAG is parsed.
    """

    template_fields: Sequence[str] = ("tensors", "code", "classes", "parameters", "space", "seed", "experiment")

    def __init__(
        self,
        *,
        tensors: Any,
        code: str,
        classes: Any,
        parameters: dict[str, Any],
        space: dict[str, Any],
        experiment: str,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        asked = checked(space, parameters, tensors)
        example = {name: each.first for name, each in asked.vary.items()}
        for path in space["vary"].get(NETWORK, [code]):
            check_network(path, merged(parameters, example), classes)
        self.tensors = tensors
        self.code = code
        self.classes = classes
        self.parameters = parameters
        self.space = space
        self.seed = seed
        self.experiment = experiment

    @property
    def inputs(self) -> dict[str, Any]:
        """The step's inputs: tensors and networks by name, so that no path of this machine decides anything."""
        chosen = self.space["vary"].get(NETWORK)
        paths = {Path(path).name: Path(path) for path in (chosen or [self.code])}
        if chosen and len(paths) < len(chosen):
            raise UserError("Two networks to choose from have the same file name.", hint="Rename one of them.")
        space = {**self.space, "vary": {**self.space["vary"], NETWORK: list(paths)}} if chosen else self.space
        code = {name: msgspec.to_builtins(store_network(self.artifacts, path)) for name, path in paths.items()}
        tensors = {ONLY: self.tensors} if "ref" in self.tensors else self.tensors
        return super().inputs | {"tensors": tensors, "code": code, "space": space}

    def abandoned(self, context: "Context") -> None:
        """End its trials and the search's run too: nobody is left who would."""
        super().abandoned(context)
        if find_spec("optuna") is None:
            self.log.info("Optuna is not installed here: what was running stays so until the search is concluded.")
            return
        from airlock.model.registry import Registry
        from airlock.model.search.abandoned import end_trials
        from airlock.model.search.study import Studies

        run, group = run_info(context), self.task_id.rpartition(".")[0]
        prefix = "/".join(filter(None, (run.dag, run.run, group))) + "/"
        try:
            registry = Registry(resolved_settings().tracking)
            ended = end_trials(Studies(DatabaseHook().get_conn()), registry, prefix, self._left_by(context))
        except AirlockError as error:
            self.log.warning("Could not end its trials: %s", error)
        else:
            self.log.info("Ended %s trials as failed.", ended)

    def _left_by(self, context: "Context") -> str:
        """Return whose trials end with this task; empty for everybody's, who have all ended before it began."""
        del context
        return ""

    def _asked_again(self, context: "Context") -> bool:
        """Say whether a reviewer asked for the search, or any task of its group, to be done again."""
        asked = str(rework_of(context).get("step", "")).partition(".")[0]
        if asked != self.task_id.partition(".")[0]:
            return False
        self.log.info("Cache off: a reviewer asked for the search to be done again.")
        return True


class SearchTrialsStep(SearchStep):
    """One worker of a search: trains trials of the shared study until its budget is spent.

    A worker that was killed goes on with its trial when it is tried again. When the same search was concluded before,
    nothing is trained: the conclusion in the step cache stands for it.
    """

    step = "search_trials"
    operator_extra_links = (MLFLOW_RUN,)

    def _look_up(self, context: "Context", spec: Spec) -> Lookup | None:
        """Look for the conclusion of the same search: what one worker left says nothing about what the others owe."""
        if self._asked_again(context):
            return None
        concluded = super()._look_up(context, msgspec.structs.replace(spec, step=ConcludeSearchStep.step))
        return concluded if concluded and concluded.result else None

    def _left_by(self, context: "Context") -> str:
        return run_info(context).owner


class SearchTrialsOperator(SubprocessPlace, SearchTrialsStep):
    """:class:`SearchTrialsStep` in a subprocess of the worker."""


class ConcludeSearchStep(SearchStep):
    """Conclude a search: end what is left over, report every trial, give the best one's parameters."""

    step = "conclude_search"
    operator_extra_links = (MLFLOW_RUN, REPORT)

    def _look_up(self, context: "Context", spec: Spec) -> Lookup | None:
        """Conclude anew what was searched anew."""
        return None if self._asked_again(context) else super()._look_up(context, spec)


class ConcludeSearchOperator(SubprocessPlace, ConcludeSearchStep):
    """:class:`ConcludeSearchStep` in a subprocess of the worker."""


search_trials = by_compute(SearchTrialsOperator)
conclude_search = by_compute(ConcludeSearchOperator)


def search(*, group_id: str = "search", compute: str = "", cache: bool = True, **arguments: Any) -> Any:
    """Make a group of tasks that search: as many workers as ``space`` says, and their conclusion, which is returned.

    The conclusion runs when all workers have ended, however they ended: nothing of a search is left running.

    :param group_id: name of the group.
    :param compute: compute profile of the workers, whose conclusion needs no accelerator; empty for what the setting
        ``compute`` gives each of the tasks.
    :param arguments: see :class:`SearchStep`.
    """
    asked = checked(arguments["space"], arguments["parameters"], arguments["tensors"])
    arguments["cache"] = cache
    of_worker, of_end = _places(compute)
    with TaskGroup(group_id):
        found: Any = conclude_search(task_id="conclude", trigger_rule="all_done_min_one_success", **of_end, **arguments)
        for number in range(1, asked.workers + 1):
            worker: Any = search_trials(task_id=f"worker_{number}", **of_worker, **arguments)
            worker >> found
    return found


def _places(compute: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Where the workers and the conclusion run, as arguments; none when the setting decides."""
    if not compute:
        return {}, {}
    return {"compute": compute}, {"compute": "cpu" if profile(compute).place == "pod" else "local"}


def checked(space: Any, parameters: Any, tensors: Any) -> Search:
    """Read a search as far as it is known when the DAG is parsed.

    :raises UserError: it is not valid; every problem is named.
    """
    data = list(tensors) if isinstance(tensors, Mapping) and "ref" not in tensors else None
    return read_search(space, parameters, data)
