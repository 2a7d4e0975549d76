"""The pod, or the Job of several, that Kubernetes is asked for."""

from typing import Any

import msgspec

from airlock.merging import merged
from airlock.operators.execution import Execution
from airlock.operators.pods import labels
from airlock.operators.pods.diagnosis import STEP
from airlock.operators.profiles import Profile
from airlock.steps import workers

CONTAINER_USER = 10001


def manifest(name: str, execution: Execution, environment: dict[str, str]) -> dict[str, Any]:
    """Return the document of a pod, or of a Job when the profile asks for several workers.

    A Job is asked for indexed completion. A cluster older than 1.22 drops that field, and its pods claim
    their numbers.
    """
    profile = execution.profile
    metadata = {
        "labels": profile.labels
        | {"airlock/step": execution.spec.step, labels.SET: name}
        | labels.of_task(execution.spec.run),
        "annotations": profile.annotations
        | {labels.KEY: execution.key, labels.DOCUMENT: execution.document, labels.COMPUTE: execution.compute},
    }
    named = metadata | {"name": name, "namespace": profile.namespace}
    pod = {"metadata": metadata, "spec": merged(pod_spec(execution, environment), profile.pod)}
    if profile.workers == 1:
        return {"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": pod["spec"]}
    job = {
        "parallelism": profile.workers,
        "completions": profile.workers,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "template": pod,
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": named, "spec": job}


def pod_spec(execution: Execution, environment: dict[str, str]) -> dict[str, Any]:
    """The pod's spec as the profile's own fields ask for it."""
    profile = execution.profile
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": profile.grace,
        "securityContext": {"runAsNonRoot": True, "runAsUser": CONTAINER_USER},
        "automountServiceAccountToken": False,
        "nodeSelector": profile.node_selector,
        "tolerations": msgspec.to_builtins(profile.tolerations),
        "containers": [container(execution, environment)],
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": profile.shared_memory}}]
        if profile.shared_memory
        else [],
    }
    if profile.priority_class:
        spec["priorityClassName"] = profile.priority_class
    if profile.lifetime:
        spec["activeDeadlineSeconds"] = int(profile.lifetime)
    return spec


def container(execution: Execution, environment: dict[str, str]) -> dict[str, Any]:
    """The container that runs the step."""
    profile: Profile = execution.profile
    told: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in sorted((environment | profile.environment).items())
    ]
    if profile.workers > 1:
        address = {"fieldRef": {"fieldPath": "status.podIP"}}
        told += [
            {"name": workers.COUNT, "value": str(profile.workers)},
            {"name": workers.HOST, "valueFrom": address},
        ]
    return {
        "name": STEP,
        "image": profile.image,
        "command": ["python", "-u", "-m", "airlock.steps"],
        "args": [execution.spec.step, "--spec", execution.document],
        "env": told,
        "resources": {"requests": profile.resources, "limits": profile.resources},
        # Data loaders need more than the 64 MiB of the runtime's own /dev/shm.
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}] if profile.shared_memory else [],
    }
