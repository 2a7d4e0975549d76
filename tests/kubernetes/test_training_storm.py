"""Searches and trainings in pods, disturbed at random: each ends right, or fails with the right class."""

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.aftermath import MEMORY, Run
from tests.integration.conftest import Stack
from tests.integration.storm import Storm
from tests.kubernetes.cluster import NODE, TestCluster

pytestmark = pytest.mark.kubernetes


class PodStorm(Storm):
    """Faults of a cluster beside those of the machine."""

    cluster: TestCluster

    def faults(self) -> dict[str, Callable[[Run], bool]]:
        own = {"pod deleted": self.delete_pod, "node drained": self.drain, MEMORY: self.use_up_memory}
        return super().faults() | own

    def delete_pod(self, _run: Run) -> bool:
        names = [pod["metadata"]["name"] for pod in self.cluster.pods(dag="trained")]
        self.cluster.kubectl("delete", "pod", *names, "--wait=false", check=False)
        return bool(names)

    def drain(self, _run: Run) -> bool:
        """Take the node out of service with all that is on it, and bring it back."""
        self.cluster.kubectl("cordon", NODE)
        self.cluster.kubectl("drain", NODE, "--force", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s")
        time.sleep(self.random.uniform(0, 5))
        self.cluster.kubectl("uncordon", NODE)
        return True


@pytest.mark.parametrize(
    "count", [pytest.param(3, marks=pytest.mark.timeout(900)),
              pytest.param(30, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)  # fmt: skip
def test_every_run_ends_right_or_says_why(
    cluster_stack: Stack, cluster: TestCluster, digits: dict[str, Any], count: int
) -> None:
    seed = random.randrange(10**6)
    storm = PodStorm(cluster_stack, seed, digits)
    storm.cluster = cluster
    print(f"seed {seed}: {', '.join(storm.faults())}", flush=True)
    runs = storm.rage(count)
    print(f"{len(runs)} runs, {dict(storm.done)}")
    assert storm.done.total() == count
    assert cluster.gone(dag="trained")
