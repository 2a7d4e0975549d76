"""What a pod's document says: what it waits for, and how it ended. Pure functions over what the API server gives."""

import re
from typing import Any, Literal

import msgspec

from airlock.kubelet import PASSING
from airlock.operators.execution import Ending

STEP = "step"
"""Name of the container."""
WRONG_IMAGE = ("InvalidImageName", "ErrImageNeverPull")
NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable")
FOR_GOOD = re.compile(r"not found|denied|unauthori[sz]ed|manifest unknown|does not exist|invalid reference", re.I)
"""What a registry says of an image that another attempt will not bring."""
PULLED_IN_VAIN = "Failed to pull image"
"""How the kubelet begins the event in which it passes on what the registry said."""
WRONG_CONTAINER = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
NOT_STARTED = ("StartError", "ContainerCannotRun")
OWN_LIMIT = re.compile(r"exceeds the (total )?limit|usage exceeds", re.I)
"""An eviction for more disk than the pod itself was allowed; any other is the node's need."""
ASKED_TO_END = (129, 130, 143)
KILLED = 137
DELETED = Ending(kind="interrupted", reason="was interrupted: its pod was deleted")
SEVERITY = ("interrupted", "out of memory", "resource", "user", "silent", "ended")
"""Of several workers, the first of these is taken for the cause."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod that has not ended is doing.

    :param stage: before it has a place, before it runs, running, or being taken away.
    :param text: for people.
    :param image: the kubelet tries in vain to pull the image.
    """

    stage: Literal["place", "start", "run", "end"]
    text: str
    image: bool = False


def waiting(pod: dict[str, Any]) -> Waiting:
    """Say what a pod that has not ended is waiting for."""
    node = pod["spec"].get("nodeName", "")
    if pod["metadata"].get("deletionTimestamp"):
        return Waiting(stage="end", text=f"is being taken from node {node or '(none)'}")
    if not node:
        scheduled = _condition(pod, "PodScheduled")
        reason = scheduled.get("message") or scheduled.get("reason") or "the scheduler has not looked at it yet"
        return Waiting(stage="place", text=f"waiting for a place: {reason}")
    state = _container(pod).get("state", {})
    if "running" in state:
        return Waiting(stage="run", text=f"running on node {node}")
    why = state.get("waiting", {})
    text = ": ".join(part for part in (why.get("reason", ""), why.get("message", "")) if part)
    return Waiting(
        stage="start", text=f"starting on node {node}: {text or 'no word yet'}", image=why.get("reason") in NO_IMAGE
    )


def cannot_start(pod: dict[str, Any]) -> Ending | None:
    """Say why a pod will never run, when the kubelet has said so already."""
    why = _container(pod).get("state", {}).get("waiting", {})
    reason, message = why.get("reason", ""), why.get("message", "")
    if reason in WRONG_IMAGE or (reason in NO_IMAGE and FOR_GOOD.search(message)):
        return no_image(pod)
    if reason in WRONG_CONTAINER and not PASSING.search(message):
        return Ending(
            kind="user",
            reason=f"could not be started ({reason}: {message})",
            hint="Correct what the message names: the compute profile, or what its `pod` part refers to.",
        )
    return None


def no_image(pod: dict[str, Any], said: str = "") -> Ending:
    """Say that an image cannot be pulled.

    :param said: the registry's words, where the pod has them no more: between two attempts it says that it waits.
    """
    why = _container(pod).get("state", {}).get("waiting", {})
    image = next(container["image"] for container in pod["spec"]["containers"] if container["name"] == STEP)
    return Ending(
        kind="user",
        reason=f"was not started: its image {image!r} cannot be pulled "
        f"({why.get('reason')}: {said or why.get('message')})",
        hint="Correct `image` of the compute profile, or give the pod `imagePullSecrets`.",
    )


def ended(pod: dict[str, Any]) -> Ending | None:
    """Say how a pod ended; ``None`` while it has not."""
    status = pod["status"]
    if status.get("phase") not in ("Succeeded", "Failed"):
        return None
    final = _container(pod).get("state", {}).get("terminated") or {}
    if final.get("reason") == "OOMKilled":
        return _out_of_memory(pod)
    if reason := status.get("reason"):
        return _by_cluster(reason, status.get("message", ""))
    target = _condition(pod, "DisruptionTarget")
    if target.get("status") == "True":
        return Ending(kind="interrupted", reason=f"was interrupted ({target.get('reason')}: {target.get('message')})")
    deleted = bool(pod["metadata"].get("deletionTimestamp"))
    if not final or final.get("reason") == "ContainerStatusUnknown":  # also when its container went before its status
        return DELETED if deleted else Ending(kind="interrupted", reason="was lost with its node")
    return _by_status(final, deleted=deleted)


def _by_cluster(reason: str, message: str) -> Ending:
    """The kubelet or a controller ended the pod: evicted, preempted, node lost or shut down, or past its lifetime."""
    if reason == "DeadlineExceeded":
        return Ending(
            kind="resource",
            reason=f"took longer than it may ({message})",
            hint="Raise `lifetime` of the compute profile.",
        )
    if reason == "Evicted" and OWN_LIMIT.search(message):
        return Ending(
            kind="resource",
            reason=f"was evicted: {message}",
            hint="Raise that limit in the compute profile: `shared_memory`, or `ephemeral-storage` of `resources`.",
        )
    return Ending(kind="interrupted", reason=f"was interrupted ({reason}: {message})")


def _by_status(final: dict[str, Any], *, deleted: bool) -> Ending:
    code = final["exitCode"]
    if code == 0:
        return Ending(kind="ended", reason="ended with status 0")
    if final.get("reason") in NOT_STARTED:
        return Ending(
            kind="user",
            reason=f"could not be started ({final['reason']}: {final.get('message', '')})",
            hint="Correct `image` of the compute profile: it must hold Python and Airlock.",
        )
    if deleted:
        return DELETED
    if code in ASKED_TO_END:
        return Ending(kind="interrupted", reason="was asked to end")
    if code == KILLED:
        return Ending(kind="interrupted", reason="was killed by SIGKILL")
    return Ending(
        kind="silent" if code == 2 else "user",
        reason=f"ended with status {code}",
        hint="Read the log above: the step ended itself.",
    )


def _out_of_memory(pod: dict[str, Any]) -> Ending:
    container = next(each for each in pod["spec"]["containers"] if each["name"] == STEP)
    limit = container.get("resources", {}).get("limits", {}).get("memory")
    return Ending(
        kind="out of memory",
        reason=f"ran out of memory: it needed more than its limit of {limit}"
        if limit
        else "ran out of memory: its node had no more",
        hint="Raise `memory` in `resources` of the compute profile, name a bigger one in its `on_out_of_memory`, or "
        "use smaller batches.",
    )


def _container(pod: dict[str, Any]) -> dict[str, Any]:
    statuses = pod["status"].get("containerStatuses", [])
    return next((status for status in statuses if status["name"] == STEP), {})


def _condition(pod: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((each for each in pod["status"].get("conditions", []) if each["type"] == kind), {})
