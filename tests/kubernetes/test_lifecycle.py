"""Digits from source to pods that serve, its steps in pods too: a real Airflow on S3, the DAG files of the laptop."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from airlock.demo.serving import ask_served
from airlock.deployment.client import ModelClient
from tests.integration.conftest import Stack
from tests.integration.lifecycle import Journey
from tests.integration.successors import promoted, rolled_back
from tests.kubernetes.cluster import TestCluster

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1800)]
IN_PODS = {"transform", "search.worker_1", "search.conclude", "train", "evaluate", "register"}


class Watch:
    """Looks on while the model DAG runs, and brings the GPU when the training has said that it waits for one.

    :param seen: task to what its pod asked for.
    :param said: what the training's task said of itself, in order.
    """

    def __init__(self, stack: Stack, cluster: TestCluster) -> None:
        self.stack, self.cluster = stack, cluster
        self.seen: dict[str, dict[str, str]] = {}
        self.said: list[str] = []

    @contextmanager
    def looking(self, journey: Journey) -> Iterator[None]:
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(0.5):
                self._look(journey.runs.get("digits_model", ""))

        with ThreadPoolExecutor(1) as pool:
            ends = pool.submit(look)
            try:
                yield
            finally:
                stop.set()
                ends.result(60)

    def _look(self, run: str) -> None:
        for pod in self.cluster.pods(dag="digits_model"):
            limits = pod["spec"]["containers"][0]["resources"]["limits"]
            self.seen[pod["metadata"]["labels"]["airlock/task"]] = limits
        state = run and self._state(run)
        if state and state not in self.said:
            self.said.append(state)
            if "Insufficient nvidia.com/gpu" in state:
                self.cluster.set_gpus(1)

    def _state(self, run: str) -> str:
        path = f"/dags/digits_model/dagRuns/{run}/taskInstances/train/state-store/state"
        reply = self.stack.person("Admin").client.get(path)
        return str(reply.json().get("value", "")) if reply.is_success else ""


@pytest.fixture(scope="module")
def watch(cluster_stack: Stack, cluster: TestCluster) -> Iterator[Watch]:
    cluster.set_gpus(0)
    yield Watch(cluster_stack, cluster)
    cluster.set_gpus(None)


@pytest.fixture(scope="module")
def digits(cluster_stack: Stack, watch: Watch) -> Journey:
    """Digits, taken to pods that answer, once."""
    journey = Journey(cluster_stack)
    with watch.looking(journey):
        journey.through("digits")
    return journey


class TestTheModelDag:
    def test_every_step_ran_in_a_pod_of_its_profile(self, digits: Journey, watch: Watch) -> None:
        assert set(watch.seen) >= IN_PODS
        assert {task for task, limits in watch.seen.items() if "nvidia.com/gpu" in limits} == {"train"}

    def test_the_training_said_what_it_waited_for_and_where_it_ran(self, digits: Journey, watch: Watch) -> None:
        told = " | ".join(watch.said)
        assert re.search(r"waiting for a place: [^|]*Insufficient nvidia\.com/gpu.*\| running on node", told), told

    def test_no_pod_is_left(self, digits: Journey, cluster: TestCluster) -> None:
        assert cluster.gone(dag="digits_model")


class TestTheDeploymentDag:
    def test_pods_answer_with_the_approved_release(self, cluster_stack: Stack, digits: Journey) -> None:
        served = ask_served("digits", cluster_stack.settings)
        assert served.endpoint.endswith("/digits@cluster")
        assert served.accuracy >= 0.97

    def test_a_good_successor_is_promoted_after_a_canary(self, digits: Journey) -> None:
        promoted(digits, "train.parameters.dropout=0.25")

    def test_a_bad_one_is_rolled_back_by_itself(self, digits: Journey) -> None:
        before = rolled_back(digits)
        with ModelClient(before.endpoint) as client:
            assert client.manifest() == before.manifest
