"""A Kubernetes cluster as Airlock uses it: a few calls, plain documents, and errors that say who must act."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException

from airlock.errors import InfrastructureError, UserError
from airlock.operators.pods.labels import selector

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, BatchV1Api, CoreV1Api

SECONDS = (5, 30)
"""To connect, and to wait for an answer."""
QUOTA = "exceeded quota"
WRONG = (400, 403, 404, 405, 422)
GONE, THERE = 404, 409
SKEW = 300
"""Seconds that the clocks of worker and node may differ."""


class NoRoom(InfrastructureError):
    """The namespace's quota is used up now."""


class Cluster:
    """The pods and Jobs of one namespace.

    :param connection: Airflow connection of kind Kubernetes.
    """

    def __init__(self, connection: str, namespace: str) -> None:
        self.connection = connection
        self.namespace = namespace
        self._configuration: Any = None

    @cached_property
    def client(self) -> "ApiClient":
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
        from kubernetes.config import ConfigException

        try:
            made = KubernetesHook(conn_id=self.connection).get_conn()
        except (ConfigException, AirflowException) as error:
            raise UserError(
                f"The connection {self.connection!r} leads to no cluster: {error}",
                hint="Give it a kube config, or run the worker in the cluster.",
            ) from error
        self._configuration = made.configuration
        return made

    @cached_property
    def core(self) -> "CoreV1Api":
        from kubernetes.client import CoreV1Api

        return CoreV1Api(self.client)

    @cached_property
    def batch(self) -> "BatchV1Api":
        from kubernetes.client import BatchV1Api

        return BatchV1Api(self.client)

    def connect(self) -> None:
        """Make the client now: looking its connection up talks to Airflow, which a signal handler must not."""
        _ = self.client

    def forget(self) -> None:
        """Make the client anew at the next call: its credentials may have run out."""
        for name in ("client", "core", "batch"):
            self.__dict__.pop(name, None)

    def again(self) -> "Cluster":
        """The same cluster over connections of its own, for a signal handler: it may have interrupted a request."""
        from kubernetes.client import ApiClient

        other = Cluster(self.connection, self.namespace)
        other.client = ApiClient(self._configuration)
        return other

    def create(self, document: dict[str, Any]) -> None:
        """Create a pod or Job; one that is there already is ours, its answer was lost.

        :raises UserError: the cluster refuses it.
        :raises NoRoom: the namespace's quota does not allow it now.
        """
        name, kind = document["metadata"]["name"], document["kind"]
        with _answers(f"to create the {kind} {name} in namespace {self.namespace!r}", fine=THERE):
            if kind == "Job":
                self.batch.create_namespaced_job(self.namespace, document, **_raw())
            else:
                self.core.create_namespaced_pod(self.namespace, document, **_raw())

    def pods(self, labels: dict[str, str]) -> list[dict[str, Any]]:
        """The pods with these labels, oldest first."""
        with _answers(f"to list pods in namespace {self.namespace!r}"):
            answer = self.core.list_namespaced_pod(self.namespace, label_selector=selector(labels), **_raw())
        return _by_age(json.loads(answer.data))

    def jobs(self, labels: dict[str, str]) -> list[dict[str, Any]]:
        """The Jobs with these labels, oldest first."""
        with _answers(f"to list Jobs in namespace {self.namespace!r}"):
            answer = self.batch.list_namespaced_job(self.namespace, label_selector=selector(labels), **_raw())
        return _by_age(json.loads(answer.data))

    def warning(self, name: str, about: str = "") -> str:
        """The last warning about a pod or Job; empty when there is none.

        :param about: what its message holds.
        """
        fields = f"involvedObject.name={name},type=Warning"
        with _answers(f"to list events in namespace {self.namespace!r}"):
            answer = self.core.list_namespaced_event(self.namespace, field_selector=fields, **_raw())
        told = [event for event in json.loads(answer.data)["items"] if about in event["message"]]
        events = sorted(told, key=lambda event: str(event.get("lastTimestamp")))
        return f"{events[-1]['reason']}: {events[-1]['message']}" if events else ""

    def delete(self, name: str, *, job: bool, now: bool = False) -> None:
        """Delete a pod, or a Job with its pods; what is gone is gone.

        :param now: do not wait for its node, which may be lost.
        """
        options: dict[str, Any] = {"grace_period_seconds": 0} if now else {}
        with _answers(f"to delete {name}", fine=GONE):
            if job:
                self.batch.delete_namespaced_job(name, self.namespace, propagation_policy="Background", **_raw())
            else:
                self.core.delete_namespaced_pod(name, self.namespace, **options, **_raw())

    def log(self, pod: str, container: str, since: int) -> Any:
        """Open a container's log from a moment on, and follow it.

        :param since: nanoseconds since the epoch, on the node's clock; 0 for all. Earlier lines come too.
        """
        seconds = max(1, int(time.time() - since / 1e9) + SKEW) if since else None
        options: dict[str, Any] = {"since_seconds": seconds} if seconds else {}
        with _answers(f"to read the log of {pod}"):
            return self.core.read_namespaced_pod_log(
                pod,
                self.namespace,
                container=container,
                follow=True,
                timestamps=True,
                **options,
                **_raw(),
            )


def _by_age(listing: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(listing["items"], key=lambda item: str(item["metadata"]["creationTimestamp"]))


def _raw() -> dict[str, Any]:
    return {"_preload_content": False, "_request_timeout": SECONDS}


@contextmanager
def _answers(what: str, fine: int = 0) -> Iterator[None]:
    """Turn what the client raises into Airlock's errors."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        if error.status != fine:
            raise _refusal(what, error) from error
    except (HTTPError, OSError) as error:
        raise InfrastructureError(f"The cluster cannot be reached {what}: {error}") from error


def _refusal(what: str, error: Any) -> Exception:
    try:
        reason = json.loads(error.body)["message"]
    except (ValueError, TypeError, KeyError):
        reason = f"{error.status} {error.reason}"
    if QUOTA in reason:
        return NoRoom(f"waiting for a place: {reason}")
    if error.status in WRONG:
        return UserError(
            f"The cluster refuses {what}: {reason}",
            hint="Correct the compute profile, or the rights of its connection.",
        )
    return InfrastructureError(f"The cluster fails {what}: {reason}")
