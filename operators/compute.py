"""``compute=``: which class runs a step, resolved by configuration and never in DAG code."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any, Generic, ParamSpec, TypeVar

from airlock.errors import UserError
from airlock.operators.profiles import Profile, resolve
from airlock.settings import settings

P = ParamSpec("P")
T = TypeVar("T")


def profile(name: str) -> Profile:
    """Return a compute profile by name.

    :raises UserError: no such profile.
    """
    return resolve(name, settings().profiles)


def assigned(task: str) -> str:
    """Return the name of the profile that the setting ``compute`` gives a task, ``local`` when it names none.

    :param task: ``DAG.TASK``, where a task of a group is ``GROUP.TASK``.
    :raises UserError: the setting cannot be read.
    """
    for entry in settings().compute.split():
        pattern, equals, name = entry.partition("=")
        if not (pattern and equals and name):
            raise UserError(
                f"{entry!r} of AIRLOCK_COMPUTE gives no task a compute profile.",
                hint="Write DAG.TASK=PROFILE, separated by spaces; * stands for anything: digits_model.train=gpu:1",
            )
        if fnmatchcase(task, pattern):
            return name
    return "local"


class Factory(Generic[P, T]):
    """The lower-case factory of an operator: ``compute=`` picks the subprocess class or its pod twin.

    The twin of ``TrainOperator`` is ``TrainPodOperator`` in :mod:`airlock.operators.pods.twins`, imported only when a
    profile asks for it: a laptop needs no Kubernetes provider. ``task_id`` defaults to the factory's noun. Without a
    ``compute=`` the setting of that name decides, so that one DAG file runs on a laptop and on a cluster.
    """

    def __init__(self, local: Callable[P, T]) -> None:
        self.local: Any = local
        self.__name__: str = local.__name__
        self.__doc__ = f"Make a :class:`{self.__name__}` task, in the place its compute profile names."

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        made: T = self._chosen(kwargs)(*args, **kwargs)
        return made

    def partial(self, **kwargs: Any) -> Any:
        """Begin mapped tasks: ``train.partial(compute="gpu:1", …).expand(seed=[1, 2, 3])``."""
        from airlock.operators.step import with_given_up

        # Airflow asks the mapped operator, not one of its tasks, what to call when a worker was lost.
        kwargs["on_failure_callback"] = with_given_up(kwargs.get("on_failure_callback"))
        return self._chosen(kwargs).partial(**kwargs)

    def _chosen(self, kwargs: dict[str, Any]) -> Any:
        kwargs.setdefault("task_id", getattr(self.local, "step", self.__name__))
        if "compute" not in kwargs:
            kwargs["compute"] = assigned(_full_name(kwargs))
        if profile(str(kwargs["compute"])).place == "subprocess":
            return self.local
        pods = import_module("airlock.operators.pods.twins")
        return getattr(pods, self.__name__.replace("Operator", "PodOperator"))


def _full_name(kwargs: dict[str, Any]) -> str:
    """The DAG and the task that are being made, as ``DAG.TASK``."""
    from airflow.sdk.definitions._internal.contextmanager import DagContext, TaskGroupContext

    dag = kwargs.get("dag") or DagContext.get_current()
    group = kwargs.get("task_group") or (TaskGroupContext.get_current(dag) if dag else None)
    task = str(kwargs["task_id"])
    return f"{dag.dag_id if dag else ''}.{group.child_id(task) if group else task}"


def by_compute(local: Callable[P, T]) -> Factory[P, T]:
    """Return the factory of an operator."""
    return Factory(local)
