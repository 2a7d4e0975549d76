"""``compute=``: which class runs a step, resolved by configuration and never in DAG code."""

from collections.abc import Callable
from importlib import import_module
from typing import ParamSpec, TypeVar

from airlock.operators.profiles import Profile, resolve
from airlock.settings import settings

P = ParamSpec("P")
T = TypeVar("T")


def profile(name: str) -> Profile:
    """Return a compute profile by name.

    :raises UserError: no such profile.
    """
    return resolve(name, settings().profiles)


def by_compute(local: Callable[P, T]) -> Callable[P, T]:
    """Return the lower-case factory of an operator: ``compute=`` picks the subprocess class or its pod twin.

    The twin of ``TrainOperator`` is ``TrainPodOperator`` in :mod:`airlock.operators.pods.twins`, imported only when a
    profile asks for it: a laptop needs no Kubernetes provider. ``task_id`` defaults to the factory's noun.
    """
    name = getattr(local, "__name__", "")

    def build(*args: P.args, **kwargs: P.kwargs) -> T:
        kwargs.setdefault("task_id", getattr(local, "step", name))
        if profile(str(kwargs.get("compute", "local"))).place == "subprocess":
            return local(*args, **kwargs)
        pods = import_module("airlock.operators.pods.twins")
        twin: Callable[P, T] = getattr(pods, name.replace("Operator", "PodOperator"))
        return twin(*args, **kwargs)

    build.__doc__ = f"Make a :class:`{name}` task, in the place its compute profile names."
    return build
