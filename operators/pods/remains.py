"""What a lost worker left on a cluster: pods and Jobs of its task."""

from collections.abc import Iterator
from typing import Any

import msgspec

from airlock.operators.pods import labels
from airlock.operators.pods.cluster import Cluster


class Remains(msgspec.Struct, frozen=True, kw_only=True):
    """A pod, or a Job with its pods.

    :param key: digest of everything that decides the result it computes.
    :param document: name of its spec.
    :param compute: the profile it was started with.
    """

    cluster: Cluster
    name: str
    job: bool
    key: str
    document: str
    compute: str

    @classmethod
    def of(cls, cluster: Cluster, task: dict[str, str], *, jobs: bool) -> "Iterator[Remains]":
        """Give what there is of a task, newest first.

        :param jobs: whether it may have been a Job: pods alone need no right to list Jobs.
        """
        pods = [pod for pod in cluster.pods(task) if not pod["metadata"].get("ownerReferences")]
        found = [cls._made(cluster, each, job=False) for each in reversed(pods)]
        if jobs:
            found = [cls._made(cluster, each, job=True) for each in reversed(cluster.jobs(task))] + found
        yield from found

    @classmethod
    def _made(cls, cluster: Cluster, document: dict[str, Any], *, job: bool) -> "Remains":
        told = document["metadata"].get("annotations", {})
        return cls(
            cluster=cluster,
            name=document["metadata"]["name"],
            job=job,
            key=told.get(labels.KEY, ""),
            document=told.get(labels.DOCUMENT, ""),
            compute=told.get(labels.COMPUTE, ""),
        )

    def delete(self) -> None:
        """Take it away."""
        self.cluster.delete(self.name, job=self.job)
