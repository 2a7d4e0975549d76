"""Several workers of one step, as a Job."""

from collections.abc import Callable

import pytest

from tests.kubernetes.cluster import TestCluster
from tests.kubernetes.conftest import Task

pytestmark = pytest.mark.kubernetes


class TestTwoWorkers:
    def test_they_meet_and_the_first_ones_result_is_the_steps(
        self, start: Callable[..., Task], cluster: TestCluster, capfd: pytest.CaptureFixture[str]
    ) -> None:
        task = start("meet", compute="test:x2")
        addresses = task.result()["told"].split(",")
        assert len(set(addresses)) == 2
        shown = capfd.readouterr().out
        assert [shown.count(f"worker {index} of") for index in (0, 1)] == [1, 1]
        assert cluster.gone(task=task.operator.task_id)

    def test_when_one_dies_all_start_again(self, start: Callable[..., Task], cluster: TestCluster) -> None:
        task = start("meet", 1, compute="test:x2")
        task.says("2 of 2 workers run")
        pod = cluster.running(task=task.operator.task_id)
        cluster.logged(pod, "worker")
        cluster.kubectl("delete", "pod", pod, "--wait=false")
        task.says("restarted 1 of 10: was interrupted")
        assert len(task.result()["told"].split(",")) == 2
        assert task.said["restarts"] == {"given": 2, "interrupted": 1, "out_of_memory": 0, "compute": ""}
