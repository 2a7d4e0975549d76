"""Compute profiles: where a step runs and with what, resolved by configuration and never in DAG code."""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import msgspec

from airlock.errors import UserError
from airlock.settings import settings

P = ParamSpec("P")
T = TypeVar("T")


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One compute profile.

    :param place: ``subprocess`` on the worker, or ``pod``.
    :param image: step image, for pods.
    :param namespace: Kubernetes namespace, for pods.
    :param resources: requests and limits in Kubernetes units, for example ``{"memory": "4Gi", "nvidia.com/gpu": "1"}``.
    :param node_selector: node labels the pod asks for.
    :param tolerations: Kubernetes tolerations, as in a pod spec.
    :param shared_memory: size of ``/dev/shm``, for example ``2Gi``; empty for the container runtime's default.
    :param priority_class: Kubernetes priority class.
    :param environment: variables for the step.
    """

    place: Literal["subprocess", "pod"]
    image: str = "airlock/step:0.1.0"
    namespace: str = "airlock"
    resources: dict[str, str] = {}
    node_selector: dict[str, str] = {}
    tolerations: list[dict[str, Any]] = []
    shared_memory: str = ""
    priority_class: str = ""
    environment: dict[str, str] = {}


BUILT_IN = {
    "local": Profile(place="subprocess"),
    "cpu": Profile(place="pod", resources={"cpu": "1", "memory": "4Gi"}),
    "gpu:1": Profile(place="pod", resources={"memory": "16Gi", "nvidia.com/gpu": "1"}, shared_memory="2Gi"),
}


@lru_cache
def profiles(path: str) -> dict[str, Profile]:
    """Return the built-in profiles, overlaid with those of a JSON file (name to profile)."""
    if not path:
        return BUILT_IN
    try:
        return BUILT_IN | msgspec.json.decode(Path(path).read_bytes(), type=dict[str, Profile])
    except (OSError, msgspec.MsgspecError) as error:
        raise UserError(
            f"The compute profiles {path} cannot be read: {error}.", hint="Correct the file AIRLOCK_PROFILES names."
        ) from error


def profile(name: str) -> Profile:
    """Return a compute profile by name.

    :raises UserError: no such profile.
    """
    known = profiles(settings().profiles)
    if name not in known:
        raise UserError(
            f"There is no compute profile {name!r}.", hint=f"Profiles: {', '.join(known)}; add one to AIRLOCK_PROFILES."
        )
    return known[name]


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
