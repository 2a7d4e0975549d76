"""Clusters that serve: configuration, never code of a DAG."""

import re
from pathlib import Path
from typing import Any, Literal

import msgspec

from airlock.errors import UserError

# A digest, or a tag that is one: whoever pulls it tomorrow gets the same bytes.
PINNED = re.compile(r"^[^@\s]+@sha256:[0-9a-f]{64}$|^[^:@\s]+(:\d+/[^:@\s]+)?:sha256-[0-9a-f]{12,64}$")


class ClusterTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One cluster, or one namespace of it.

    :param image: server image, named by its digest or by a tag ``sha256-…`` that is made of it.
    :param kubeconfig: file; empty for the cluster that Airlock itself runs in.
    :param artifacts: artifact store as pods reach it; empty for the reconciler's own.
    :param credentials: name of the Secret whose entries the fetching container gets as variables.
    :param requests: what a server is promised; ``limits`` what it may not exceed. Both are always set.
    :param replicas: servers of a release at least; with a higher ``max_replicas`` the cluster adds some by load.
    :param port: that a server listens on; 0 for one made of the release's digest, where pods share a network.
    :param kserve: serve as an InferenceService; ``auto`` where the cluster knows that kind.
    :param labels: of everything; likewise ``annotations``.
    :param pod: any other part of the pod's spec, merged into Airlock's; lists of named things merge by name.
    """

    image: str
    namespace: str = "airlock"
    kubeconfig: str = ""
    artifacts: str = ""
    credentials: str = ""
    requests: dict[str, str] = msgspec.field(default_factory=lambda: {"cpu": "250m", "memory": "256Mi"})
    limits: dict[str, str] = msgspec.field(default_factory=lambda: {"cpu": "1", "memory": "512Mi"})
    replicas: int = 1
    max_replicas: int = 1
    port: int = 8000
    kserve: Literal["auto", "always", "never"] = "auto"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    environment: dict[str, str] = {}
    pod: dict[str, Any] = {}

    def faults(self) -> list[str]:
        """What types alone do not rule out, each with its field."""
        wrong = []
        if not PINNED.match(self.image):
            wrong.append(
                f"`image` {self.image!r} can be another one tomorrow: name it by digest, NAME@sha256:…, or by a "
                "tag that is its digest, NAME:sha256-…"
            )
        for name in ("requests", "limits"):
            wrong += [f"`{name}` says nothing of {what}" for what in ("cpu", "memory")
                      if what not in getattr(self, name)]  # fmt: skip
        if not 1 <= self.replicas <= self.max_replicas:
            wrong.append("`replicas` is not between 1 and `max_replicas`")
        return wrong


def read_targets(path: str) -> dict[str, ClusterTarget]:
    """Return the clusters that a JSON file names (name to target); none without a file.

    :raises UserError: the file cannot be read, or a target in it is none; it names target and field.
    """
    if not path:
        return {}
    try:
        found = msgspec.json.decode(Path(path).read_bytes(), type=dict[str, ClusterTarget])
    except (OSError, msgspec.MsgspecError) as error:
        raise UserError(
            f"The targets {path} cannot be read: {error}.", hint="Correct what AIRLOCK_TARGETS names."
        ) from error
    for name, target in found.items():
        if faults := target.faults():
            raise UserError(f"The target {name!r} of {path} is none: {'; '.join(faults)}.", hint="Correct it there.")
    return found
