"""A cluster as the reconciler uses it: documents are applied on the server's side, pods are read back."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airlock.errors import InfrastructureError, UserError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

MANAGER = "airlock"
SECONDS = (5, 30)
"""To connect, and to wait for an answer."""
WRONG = (400, 403, 404, 405, 409, 422)
PATHS = {
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v1/namespaces/{namespace}/horizontalpodautoscalers",
    "InferenceService": "/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
}
KSERVE = "/apis/serving.kserve.io/v1beta1"


class Cluster:
    """One namespace of a cluster.

    :param kubeconfig: file; empty for the cluster this process runs in.
    """

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    @cached_property
    def client(self) -> "ApiClient":
        from kubernetes.client import ApiClient, Configuration
        from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

        configuration = Configuration()
        try:
            if self.kubeconfig:
                load_kube_config(self.kubeconfig, client_configuration=configuration)
            else:
                load_incluster_config(configuration)
        except ConfigException as error:
            raise UserError(
                f"{self.kubeconfig or 'This machine'} leads to no cluster: {error}.",
                hint="Give the target a `kubeconfig`, or run the reconciler in the cluster.",
            ) from error
        return ApiClient(configuration)

    def apply(self, documents: list[dict[str, Any]]) -> None:
        """Apply documents as the field manager ``airlock``: all of them for trial first, then all.

        :raises UserError: the cluster refuses one of them; nothing was changed then.
        """
        for trial in ({"dryRun": "All"}, {}):
            for document in documents:
                path = f"{self._path(document['kind'])}/{document['metadata']['name']}"
                what = f"to apply the {document['kind']} {document['metadata']['name']}"
                query = {"fieldManager": MANAGER, "force": "true"} | trial
                self._call("PATCH", path, query, what, document)

    def list(self, kind: str, labels: dict[str, str]) -> list[dict[str, Any]]:
        """Return what there is of a kind with these labels."""
        query = {"labelSelector": ",".join(f"{name}={value}" for name, value in labels.items())}
        found: list[dict[str, Any]] = self._call("GET", self._path(kind), query, f"to list {kind}s")["items"]
        return found

    def delete(self, kind: str, name: str) -> None:
        """Delete; what is gone is gone."""
        query = {"propagationPolicy": "Background"}
        self._call("DELETE", f"{self._path(kind)}/{name}", query, f"to delete the {kind} {name}", fine=404)

    @cached_property
    def knows_kserve(self) -> bool:
        """Does the cluster serve KServe's kinds?"""
        return bool(self._call("GET", KSERVE, {}, "to say what it knows", fine=404))

    def _path(self, kind: str) -> str:
        return PATHS[kind].format(namespace=self.namespace)

    def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        what: str,
        body: dict[str, Any] | None = None,
        fine: int = 0,
    ) -> dict[str, Any]:
        from kubernetes.client import ApiException

        headers = {"Accept": "application/json"} | ({"Content-Type": "application/apply-patch+yaml"} if body else {})
        with _reached(what):
            try:
                answer = self.client.call_api(
                    path, method, query_params=list(query.items()), header_params=headers, body=body,
                    auth_settings=["BearerToken"], _preload_content=False, _request_timeout=SECONDS,
                )  # fmt: skip
            except ApiException as error:
                if error.status == fine:
                    return {}
                raise _refusal(what, error) from error
        found: dict[str, Any] = json.loads(answer.data)
        return found


@contextmanager
def _reached(what: str) -> Iterator[None]:
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (HTTPError, OSError) as error:
        if isinstance(error, InfrastructureError):
            raise
        raise InfrastructureError(f"The cluster cannot be reached {what}: {error}") from error


def _refusal(what: str, error: Any) -> Exception:
    try:
        reason = json.loads(error.body)["message"]
    except (ValueError, TypeError, KeyError):
        reason = f"{error.status} {error.reason}"
    if error.status in WRONG and "exceeded quota" not in reason:
        return UserError(f"The cluster refuses {what}: {reason}", hint="Correct the target, or its rights.")
    return InfrastructureError(f"The cluster fails {what}: {reason}")
