"""The documents a cluster is asked for: one Deployment per release, never changed to serve another.

A pod that starts again therefore serves what it served, whoever starts it. What the containers may do is the
"restricted" level of Kubernetes' Pod Security Standards.
"""

from typing import Any

import msgspec

from airlock.deployment.kubernetes.targets import ClusterTarget
from airlock.digests import short
from airlock.merging import merged

MANAGED, USE_CASE, TARGET, TRACK, RELEASE = (
    "app.kubernetes.io/managed-by", "airlock/use-case", "airlock/target", "airlock/track", "airlock/release",
)  # fmt: skip
MANIFEST = "airlock/manifest"  # annotation: the whole digest, too long for a label
USER = 10001
HOME = "/airlock"
SERVER, FETCH = "server", "fetch"
SHARED_PORTS = 20000, 12000  # first, and how many: for pods that share a network
LOCKED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """One release at one target.

    :param manifest: digest of the release manifest.
    :param target: name of the target; ``prefix`` the path of the gateway that leads there.
    """

    use_case: str
    target: str
    manifest: str
    track: str
    prefix: str

    @property
    def name(self) -> str:
        """The name of everything that belongs to the release here."""
        return f"airlock-{self.use_case.replace('_', '-')}-{short(self.manifest)}"

    @property
    def labels(self) -> dict[str, str]:
        """What finds its pods."""
        return {MANAGED: "airlock", USE_CASE: self.use_case, TARGET: self.target, RELEASE: short(self.manifest)}


def port_of(placed: Placed, target: ClusterTarget) -> int:
    """The port that a release's servers listen on."""
    first, number = SHARED_PORTS
    return target.port or first + int(short(placed.manifest), 16) % number


def documents(placed: Placed, target: ClusterTarget, artifacts: str) -> list[dict[str, Any]]:
    """Return Deployment and Service, and a HorizontalPodAutoscaler where there may be more servers.

    :param artifacts: URI of the artifact store that the pods fetch the package from.
    """
    elastic = target.max_replicas > target.replicas
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(placed, target),
        "spec": ({} if elastic else {"replicas": target.replicas})
        | {
            "selector": {"matchLabels": placed.labels},
            "template": {"metadata": _of_pods(placed, target), "spec": pod_spec(placed, target, artifacts)},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(placed, target),
        "spec": {
            "selector": placed.labels,
            "ports": [{"name": "http", "port": 80, "targetPort": port_of(placed, target), "protocol": "TCP"}],
        },
    }
    return [deployment, service, *([autoscaler(placed, target)] if elastic else [])]


def autoscaler(placed: Placed, target: ClusterTarget) -> dict[str, Any]:
    """More servers when those there are use most of the processor time they were promised."""
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(placed, target),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": placed.name},
            "minReplicas": target.replicas,
            "maxReplicas": target.max_replicas,
            "targetCPUUtilizationPercentage": 70,
        },
    }


def inference_service(placed: Placed, target: ClusterTarget, artifacts: str, least: int) -> dict[str, Any]:
    """A KServe InferenceService of the same pods.

    :param least: servers; 0 lets the cluster stop all of them while nobody asks.
    """
    spec = pod_spec(placed, target, artifacts)
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": merged(metadata(placed, target), {"labels": placed.labels}),
        "spec": {"predictor": spec | {"minReplicas": least, "maxReplicas": target.max_replicas}},
    }


def serverless(placed: Placed, target: ClusterTarget, artifacts: str) -> dict[str, Any]:
    """A Knative Service of the same pods: none while nobody asks, started by the next request."""
    scale = {
        "autoscaling.knative.dev/min-scale": "0",
        "autoscaling.knative.dev/max-scale": str(target.max_replicas),
        "autoscaling.knative.dev/target": "10",
    }
    spec = pod_spec(placed, target, artifacts) | {"containerConcurrency": 32, "timeoutSeconds": 60}
    # Knative knows its own grace, and gives a port's number to the container by its name.
    spec.pop("terminationGracePeriodSeconds")
    spec["containers"][0]["ports"] = [{"name": "http1", "containerPort": port_of(placed, target)}]
    named = merged(_of_pods(placed, target), {"annotations": scale})
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": metadata(placed, target),
        "spec": {"template": {"metadata": named, "spec": spec}},
    }


def metadata(placed: Placed, target: ClusterTarget) -> dict[str, Any]:
    """Name, labels and annotations of a document."""
    known = _of_pods(placed, target)
    return known | {
        "name": placed.name,
        "namespace": target.namespace,
        "labels": known["labels"] | {TRACK: placed.track},
    }


def pod_spec(placed: Placed, target: ClusterTarget, artifacts: str) -> dict[str, Any]:
    """A pod that fetches and verifies the package, then serves exactly it."""
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_fetching(placed, target, artifacts)],
        "containers": [_serving(placed, target)],
        "volumes": [{"name": name, "emptyDir": {"sizeLimit": "1Gi"}} for name in ("package", "tmp")],
    }
    found: dict[str, Any] = merged(spec, target.pod)
    return found


def _fetching(placed: Placed, target: ClusterTarget, artifacts: str) -> dict[str, Any]:
    secret = {"envFrom": [{"secretRef": {"name": target.credentials}}]} if target.credentials else {}
    command = ["python", "-m", "airlock.deployment.fetch", "--manifest", placed.manifest, "--into", HOME]
    return _container(FETCH, target, command, {"AIRLOCK_ARTIFACTS": artifacts}, read_only=False) | secret


def _serving(placed: Placed, target: ClusterTarget) -> dict[str, Any]:
    port = port_of(placed, target)
    command = ["python", "-m", "airlock.deployment.server", "--package", f"{HOME}/package",
               "--release", f"{HOME}/release.json", "--manifest", placed.manifest, "--host", "0.0.0.0",
               "--port", str(port), "--root-path", f"/{placed.prefix}"]  # fmt: skip

    def asks(path: str, seconds: int, misses: int) -> dict[str, Any]:
        probe = {"httpGet": {"path": path, "port": port}, "timeoutSeconds": 2}
        return probe | {"periodSeconds": seconds, "failureThreshold": misses}

    return _container(SERVER, target, command, {}, read_only=True) | {
        "ports": [{"name": "http", "containerPort": port, "protocol": "TCP"}],
        "startupProbe": asks("/v2/health/ready", 1, 60),
        "readinessProbe": asks("/v2/health/ready", 2, 3),
        "livenessProbe": asks("/v2/health/live", 5, 3),
    }


def _container(
    name: str, target: ClusterTarget, command: list[str], environment: dict[str, str], *, read_only: bool
) -> dict[str, Any]:
    told = {"HOME": "/tmp", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"} | target.environment | environment
    return {
        "name": name,
        "image": target.image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [{"name": key, "value": value} for key, value in sorted(told.items())],
        "resources": {"requests": target.requests, "limits": target.limits},
        "securityContext": LOCKED,
        "volumeMounts": [
            {"name": "package", "mountPath": HOME, "readOnly": read_only},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def _of_pods(placed: Placed, target: ClusterTarget) -> dict[str, Any]:
    return {
        "labels": target.labels | placed.labels,
        "annotations": target.annotations | {MANIFEST: placed.manifest},
    }
