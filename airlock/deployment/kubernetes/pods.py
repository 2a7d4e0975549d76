"""One track of a use case on a cluster: applies what it needs, asks the pods what they serve, tells the gateway."""

import logging
import time
from typing import Any

import msgspec

from airlock.deployment.admission import Admission
from airlock.deployment.client import ModelClient
from airlock.deployment.kubernetes.cluster import Cluster
from airlock.deployment.kubernetes.documents import (
    MANAGED,
    RELEASE,
    TARGET,
    TRACK,
    USE_CASE,
    Placed,
    documents,
    inference_service,
    port_of,
)  # fmt: skip
from airlock.deployment.kubernetes.targets import ClusterTarget
from airlock.deployment.place import Publish
from airlock.deployment.routes import Track, Upstream
from airlock.deployment.slot import Observation, State
from airlock.digests import short
from airlock.errors import AirlockError, InfrastructureError, NotApproved, ResourceError, UserError
from airlock.kubelet import PASSING

LOG = logging.getLogger("airlock.reconciler")
LOOK_SECONDS = 1.0
RETRY_SECONDS = 30.0
START_SECONDS = 180.0
KINDS = ("Deployment", "Service", "HorizontalPodAutoscaler")
FATAL = ("CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName",
         "CreateContainerConfigError", "CreateContainerError", "RunContainerError")  # fmt: skip


class Pods:
    """Servers of one release at a time, and of the one before until they answer.

    What happens to it is what :class:`airlock.deployment.place.Server` says. Pods outlive the reconciler: ``stop``
    leaves them, ``remove`` deletes them.

    :param name: of the target.
    :param artifacts: URI of the artifact store, as pods reach it.
    :param prefix: the path under which the gateway shows it.
    """

    def __init__(
        self, use_case: str, name: str, track: Track, target: ClusterTarget, cluster: Cluster, admission: Admission,
        publish: Publish, artifacts: str, prefix: str,
    ) -> None:  # fmt: skip
        self.use_case = use_case
        self.name = name
        self.track = track
        self.target = target
        self.cluster = cluster
        self.admission = admission
        self.publish = publish
        self.artifacts = artifacts
        self.prefix = prefix
        self.observation = Observation(generation=-1, manifest="", state="starting")
        self._upstream: Upstream | None = None
        self._applied = ""
        self._kept = ""  # when all others of this track are deleted
        self._given = ""  # to another track, which has yet to say that it is its own now
        self._since = 0.0
        self._next = 0.0

    @property
    def busy(self) -> bool:
        return self.observation.state in ("starting", "restarting")

    @property
    def manifests(self) -> set[str]:
        """Nothing that lies on this machine is needed once the pods fetched it."""
        return set()

    def tick(self, generation: int, manifest: str) -> Observation:
        """Go one step towards serving a manifest and say how far it is."""
        if generation != self.observation.generation:
            ready = self._upstream is not None and self._upstream.manifest == manifest
            self.observation = Observation(
                generation=generation, manifest=manifest, state="ready" if ready else "starting"
            )
            self._applied, self._kept, self._since, self._next = "", "", time.monotonic(), 0.0
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LOOK_SECONDS
            self._look(manifest)
        return self.observation

    def hand_over(self) -> Upstream | None:
        """Give away what serves, if something does."""
        upstream, self._upstream = self._upstream, None
        self._given = upstream.manifest if upstream else ""
        return upstream

    def take_over(self, served: Upstream) -> None:
        """Let pods that another track started answer here from now on."""
        self._serve(served)

    def stop(self) -> None:
        """Say that the gateway does not lead there any more; the pods stay."""
        self.publish(None)

    def remove(self) -> None:
        """Delete what this track asked for."""
        self.publish(None)
        self._upstream = None
        self._clear(self._given)

    def _look(self, manifest: str) -> None:
        try:
            if self._applied != manifest:
                self._apply(manifest)
            self._read_back(manifest)
        except (NotApproved, UserError) as error:
            self._observe("refused", str(error))
            self._next = time.monotonic() + RETRY_SECONDS
        except (InfrastructureError, ResourceError) as error:
            LOG.warning("%s at %s: %s", self.use_case, self.name, error)
            if self.observation.state != "ready":
                self._observe("starting", str(error))

    def _apply(self, manifest: str) -> None:
        self.admission.admit(self.use_case, manifest)
        placed = self._placed(manifest)
        if self._as_inference_service():
            asked = [inference_service(placed, self.target, self.artifacts, self.target.replicas)]
        else:
            asked = documents(placed, self.target, self.artifacts)
        self.cluster.apply(asked)
        self._applied = manifest
        LOG.info("%s at %s: applied %s", self.use_case, self.name, placed.name)

    def _read_back(self, manifest: str) -> None:
        pods = self.cluster.list("Pod", self._placed(manifest).labels)
        urls = tuple(sorted(url for pod in pods if _ready(pod) and (url := self._url(pod, manifest))))
        if urls:
            self._serve(Upstream(urls=urls, manifest=manifest))
            self._observe("ready")
            if self._kept != manifest:
                self._clear(manifest)
        else:
            self._missing(pods, manifest)

    def _url(self, pod: dict[str, Any], manifest: str) -> str:
        """Return a pod's address when what answers there names the manifest."""
        url = f"http://{pod['status']['podIP']}:{port_of(self._placed(manifest), self.target)}"
        with ModelClient(url, timeout=2.0) as client:
            return url if client.manifest() == manifest else ""

    def _missing(self, pods: list[dict[str, Any]], manifest: str) -> None:
        if self._upstream and self._upstream.manifest == manifest:
            self._upstream = None
            self.publish(None)
            self._observe("restarting", "no pod answers any more")
        if not pods:  # somebody deleted what was applied
            self._applied = ""
        if found := next(filter(None, map(_fault, pods)), ""):
            self._observe("failed", f"{short(manifest)}: {found}")
        elif time.monotonic() - self._since > START_SECONDS:
            self._observe("failed", f"{short(manifest)} was not ready after {START_SECONDS:.0f} s")

    def _serve(self, upstream: Upstream) -> None:
        if upstream != self._upstream:
            self.publish(upstream)
            self._upstream = upstream
            LOG.info("%s at %s: %s serves as %s", self.use_case, self.name, short(upstream.manifest), self.track)

    def _clear(self, kept: str) -> None:
        """Delete what this track asked for other releases."""
        mine = {MANAGED: "airlock", USE_CASE: self.use_case, TARGET: self.name, TRACK: self.track}
        kinds = ("InferenceService",) if self._as_inference_service() else KINDS
        try:
            for kind in kinds:
                for found in self.cluster.list(kind, mine):
                    if found["metadata"]["labels"][RELEASE] != short(kept):
                        self.cluster.delete(kind, found["metadata"]["name"])
            self._kept = kept
        except AirlockError as error:
            LOG.warning("%s at %s: what served before is deleted later: %s", self.use_case, self.name, error)

    def _as_inference_service(self) -> bool:
        return self.target.kserve == "always" or (self.target.kserve == "auto" and self.cluster.knows_kserve)

    def _placed(self, manifest: str) -> Placed:
        return Placed(use_case=self.use_case, target=self.name, manifest=manifest, track=self.track, prefix=self.prefix)

    def _observe(self, state: State, detail: str = "") -> None:
        self.observation = msgspec.structs.replace(self.observation, state=state, detail=detail)


def _ready(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _fault(pod: dict[str, Any]) -> str:
    """Say why a pod will not serve; empty while it may."""
    status = pod["status"]
    for one in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        last = one.get("lastState", {}).get("terminated") or one.get("state", {}).get("terminated") or {}
        waiting = one.get("state", {}).get("waiting", {})
        if waiting.get("reason") in FATAL and not PASSING.search(waiting.get("message", "")):
            ended = f", ended with {last['exitCode']} ({last.get('reason', '')})" if last.get("exitCode") else ""
            return f"{one['name']}: {waiting['reason']} {waiting.get('message', '')}{ended}".strip()
    return ""
