"""Compute profiles: where a step runs and with what. Configuration, never code of a DAG."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from airlock.errors import UserError

QUANTITY = re.compile(r"^\d+(\.\d+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")
NAME = re.compile(r"^(?P<base>[A-Za-z][\w.-]*):(?=[\dx])(?P<amount>\d+)?(?:x(?P<workers>\d+))?$")
NAMESPACE = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")


class Toleration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A Kubernetes toleration, as in a pod's spec."""

    key: str | None = None
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    tolerationSeconds: int | None = None  # noqa: N815 as Kubernetes spells it


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One compute profile. All but ``place``, ``environment``, ``workers`` and the budgets is for pods.

    :param place: ``subprocess`` on the worker, or ``pod``.
    :param connection: Airflow connection of the cluster.
    :param image: step image.
    :param namespace: Kubernetes namespace.
    :param resources: requests and limits of each pod in Kubernetes units, ``{"memory": "4Gi", "nvidia.com/gpu": "1"}``.
    :param amount: the resource that ``N`` of ``NAME:NxM`` is an amount of, ``nvidia.com/gpu``.
    :param workers: processes or pods that run the step together.
    :param node_selector: node labels the pod asks for.
    :param tolerations: Kubernetes tolerations, as in a pod's spec.
    :param shared_memory: size of ``/dev/shm``, ``2Gi``; empty for the container runtime's default.
    :param priority_class: Kubernetes priority class.
    :param environment: variables for the step.
    :param labels: labels of the pod, for example a queue's name.
    :param annotations: annotations of the pod.
    :param pod: any other part of a pod's spec, merged into Airlock's: ``{"serviceAccountName": "trainer"}``. Lists of
        named things merge by name; the step's container is called ``step``.
    :param schedule_timeout: seconds to wait for a place.
    :param startup_timeout: seconds from a place to a running step: pulling the image, mounting volumes.
    :param lifetime: seconds a pod may exist; 0 for as long as it takes.
    :param grace: seconds a step that is asked to end has for its last checkpoint.
    :param restarts: how often an interrupted step is started again, over all tries of its task.
    :param restart_delay: seconds before the first of them; doubled each time, half a minute at most.
    :param out_of_memory: how often a step that ran out of memory is started again as it was.
    :param on_out_of_memory: profile with more memory that it is started again with.
    """

    place: Literal["subprocess", "pod"]
    connection: str = "kubernetes_default"
    image: str = "airlock/step:0.1.0"
    namespace: str = "airlock"
    resources: dict[str, str] = {}
    amount: str = ""
    workers: int = 1
    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    shared_memory: str = ""
    priority_class: str = ""
    environment: dict[str, str] = {}
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    pod: dict[str, Any] = {}
    schedule_timeout: float = 3600
    startup_timeout: float = 600
    lifetime: float = 0
    grace: int = 30
    restarts: int = 10
    restart_delay: float = 1
    out_of_memory: int = 0
    on_out_of_memory: str = ""

    def faults(self) -> list[str]:
        """What types alone do not rule out, each with its field."""
        wrong = [f"`resources`: {name} is {size!r}" for name, size in self.resources.items() if not _quantity(size)]
        if self.shared_memory and not _quantity(self.shared_memory):
            wrong.append(f"`shared_memory` is {self.shared_memory!r}")
        wrong += [f"`{name}` is not above 0" for name in ("workers", "schedule_timeout", "startup_timeout")
                  if getattr(self, name) <= 0]  # fmt: skip
        wrong += [f"`{name}` is below 0" for name in ("lifetime", "grace", "restarts", "restart_delay", "out_of_memory")
                  if getattr(self, name) < 0]  # fmt: skip
        if not NAMESPACE.match(self.namespace):
            wrong.append(f"`namespace` {self.namespace!r} is no Kubernetes name")
        wrong += [f"`pod` is a pod's spec itself; it has no {name!r}" for name in ("spec", "metadata", "kind")
                  if name in self.pod]  # fmt: skip
        return wrong


BUILT_IN = {
    "local": Profile(place="subprocess"),
    "cpu": Profile(place="pod", resources={"cpu": "1", "memory": "4Gi"}, amount="cpu"),
    "gpu": Profile(
        place="pod",
        resources={"memory": "16Gi", "nvidia.com/gpu": "1"},
        amount="nvidia.com/gpu",
        shared_memory="2Gi",
    ),
}


@lru_cache
def profiles(path: str) -> dict[str, Profile]:
    """Return the built-in profiles, overlaid with those of a JSON file (name to profile).

    :raises UserError: the file cannot be read, or a profile in it is none; it names profile and field.
    """
    if not path:
        return BUILT_IN
    try:
        texts = msgspec.json.decode(Path(path).read_bytes(), type=dict[str, msgspec.Raw])
    except (OSError, msgspec.MsgspecError) as error:
        raise UserError(
            f"The compute profiles {path} cannot be read: {error}.", hint="Correct the file AIRLOCK_PROFILES names."
        ) from error
    known = BUILT_IN | {name: _decode(path, name, text) for name, text in texts.items()}
    for name in texts:
        _require_bigger(path, name, known)
    return known


def resolve(name: str, path: str) -> Profile:
    """Return a profile by its name, ``gpu:1``, or by ``NAME:N``, ``NAME:NxM``: N of what it counts, M workers.

    :raises UserError: no such profile.
    """
    known = profiles(path)
    if name in known:
        return known[name]
    asked = NAME.match(name)
    if asked is None or asked["base"] not in known:
        raise UserError(
            f"There is no compute profile {name!r}.",
            hint=f"Profiles: {', '.join(known)}, and NAME:NxM of these, as gpu:4x2 is 2 pods with 4 GPUs each; "
            "add one to AIRLOCK_PROFILES.",
        )
    return _scaled(name, known[asked["base"]], asked["amount"], int(asked["workers"] or 1))


def _scaled(name: str, base: Profile, amount: str | None, workers: int) -> Profile:
    if amount == "0" or workers == 0:
        raise UserError(f"The compute profile {name!r} asks for nothing.", hint="N and M of NAME:NxM are at least 1.")
    if amount not in (None, "1") and not base.amount:
        raise UserError(
            f"The compute profile {name!r} asks for {amount} of something that it does not count.",
            hint="Give the profile an `amount`, for example nvidia.com/gpu.",
        )
    resources = base.resources | ({base.amount: amount} if amount and base.amount else {})
    return msgspec.structs.replace(base, resources=resources, workers=workers)


def _decode(path: str, name: str, text: msgspec.Raw) -> Profile:
    try:
        made = msgspec.json.decode(text, type=Profile)
    except msgspec.MsgspecError as error:
        raise _wrong(path, name, str(error)) from error
    if faults := made.faults():
        raise _wrong(path, name, ", ".join(faults))
    return made


def _require_bigger(path: str, name: str, known: dict[str, Profile]) -> None:
    """A chain of bigger profiles exists, ends, and stays in one place."""
    chain = [name]
    while bigger := known[chain[-1]].on_out_of_memory:
        if bigger not in known or known[bigger].place != known[name].place:
            raise _wrong(path, chain[-1], f"`on_out_of_memory` {bigger!r} is no {known[name].place} profile")
        if bigger in chain:
            raise _wrong(path, chain[-1], f"`on_out_of_memory` {bigger!r} leads back to itself")
        chain.append(bigger)


def _quantity(text: str) -> bool:
    return QUANTITY.match(text) is not None


def _wrong(path: str, name: str, why: str) -> UserError:
    return UserError(f"The compute profile {name!r} of {path} is none: {why}.", hint="Correct it in that file.")
