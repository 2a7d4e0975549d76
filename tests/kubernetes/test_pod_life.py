"""Steps as pods on a real cluster: what they wait for, how they end, and what is started again."""

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from tests.kubernetes.cluster import TestCluster, processes
from tests.kubernetes.conftest import Task

pytestmark = pytest.mark.kubernetes
Start = Callable[..., Task]


class TestSuccess:
    def test_the_step_runs_and_leaves_no_pod(self, start: Start, cluster: TestCluster) -> None:
        task = start("sleep", 0)
        assert task.result() == {"told": "sleep"}
        assert cluster.gone(task=task.operator.task_id)

    def test_what_it_says_is_in_the_log_once(self, start: Start, capfd: pytest.CaptureFixture[str]) -> None:
        assert start("count", 60).result() == {"told": "count"}
        shown = capfd.readouterr().out
        assert [shown.count(f"line {number:04}") for number in range(60)] == [1] * 60


class TestInterruption:
    def test_a_deleted_pod_is_replaced_and_the_task_says_so(self, start: Start, cluster: TestCluster) -> None:
        task = start("once")
        pod = cluster.running(task=task.operator.task_id)
        cluster.logged(pod, "begun")
        cluster.kubectl("delete", "pod", pod, "--wait=false")
        task.says("restarted 1 of 10: was interrupted")
        assert task.result() == {"told": "once"}
        assert task.said["restarts"]["interrupted"] == 1

    def test_a_pod_killed_on_its_node_is_replaced(self, start: Start, cluster: TestCluster) -> None:
        task = start("once")
        pod = cluster.running(task=task.operator.task_id)
        cluster.logged(pod, "begun")
        (process,) = processes(f"/{task.operator.task_id}/1.json")
        process.kill()
        task.says("restarted 1 of 10: was killed by SIGKILL")
        assert task.result() == {"told": "once"}

    def test_a_drained_node_is_waited_for(self, start: Start, cluster: TestCluster) -> None:
        task = start("once")
        pod = cluster.running(task=task.operator.task_id)
        cluster.logged(pod, "begun")
        try:
            cluster.kubectl(
                "drain",
                "local-node",
                "--force",
                "--ignore-daemonsets",
                "--delete-emptydir-data",
                "--grace-period=1",
                "--timeout=60s",
            )
            assert "unschedulable" in task.says("waiting for a place: 0/1 nodes are available")
        finally:
            cluster.kubectl("uncordon", "local-node")
        assert task.result() == {"told": "once"}

    def test_one_that_is_deleted_too_often_fails(
        self, start: Start, cluster: TestCluster, profile: Callable[..., None]
    ) -> None:
        profile("brittle", restarts=0)
        task = start("sleep", 600, compute="brittle")
        cluster.kubectl("delete", "pod", cluster.running(task=task.operator.task_id), "--wait=false")
        with pytest.raises(
            AirflowFailException, match=r"interrupted more than 0 times.*deleted.*`restarts`.*'brittle'"
        ):
            task.result()


class TestMemory:
    def test_too_little_is_named_and_not_tried_again(self, start: Start, profile: Callable[..., None]) -> None:
        profile("small", resources={"memory": "150Mi"})
        task = start("memory", 400, compute="small")
        with pytest.raises(AirflowFailException, match=r"ran out of memory.*limit of 150Mi.*`memory`"):
            task.result()
        assert "(resource)" in task.context["ti"].xcoms["summary"]["headline"]
        assert "restarts" not in task.said

    def test_a_bigger_profile_is_used_when_one_is_named(self, start: Start, profile: Callable[..., None]) -> None:
        profile("large", resources={"memory": "900Mi"})
        profile("small", resources={"memory": "150Mi"}, on_out_of_memory="large")
        task = start("memory", 400, compute="small")
        assert task.result() == {"told": "400 MiB"}
        assert task.said["restarts"]["compute"] == "large"


class TestOwnFault:
    def test_an_error_of_the_step_is_not_tried_again(self, start: Start) -> None:
        task = start("fail")
        with pytest.raises(AirflowFailException, match="fails on purpose"):
            task.result()
        assert "restarts" not in task.said

    def test_a_step_that_ends_itself_is_not_tried_again(self, start: Start) -> None:
        with pytest.raises(AirflowFailException, match="ended with status 3 and left no result"):
            start("exit", 3).result()

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            (
                {"image": "localhost/never-built:9"},
                r"image 'localhost/never-built:9' cannot be pulled \(ErrImageNeverPull",
            ),
            ({"image": "UPPER CASE"}, r"image 'UPPER CASE' cannot be pulled \(InvalidImageName"),
        ],
    )
    def test_an_image_that_cannot_be_had_is_named(
        self, start: Start, profile: Callable[..., None], cluster: TestCluster, fields: dict[str, Any], why: str
    ) -> None:
        profile("wrong", **fields)
        task = start("sleep", compute="wrong")
        with pytest.raises(AirflowFailException, match=why):
            task.result(60)
        assert cluster.gone(task=task.operator.task_id)

    def test_an_image_that_no_registry_gives_is_named_before_the_start_up_timeout(
        self, start: Start, profile: Callable[..., None]
    ) -> None:
        profile("remote", image="127.0.0.1:9/airlock/step:0", pull="IfNotPresent")
        task = start("sleep", compute="remote")
        with pytest.raises(AirflowFailException, match=r"'127.0.0.1:9/airlock/step:0' cannot be pulled.*refused"):
            task.result(120)

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({"tolerations": [{"key": "a b", "operator": "Exists"}]}, r"tolerations\[0\]\.key: Invalid value"),
            ({"namespace": "nowhere"}, r'namespaces "nowhere" not found'),
            ({"priority_class": "none-such"}, r"no PriorityClass with name none-such"),
        ],
    )
    def test_a_pod_that_the_cluster_refuses_carries_its_reason(
        self, start: Start, profile: Callable[..., None], fields: dict[str, Any], why: str
    ) -> None:
        profile("refused", **fields)
        with pytest.raises(AirflowFailException, match=rf"The cluster refuses to create the Pod .*{why}"):
            start("sleep", compute="refused").result(60)


class TestWaiting:
    GPU = {"memory": "200Mi", "nvidia.com/gpu": "1"}

    def test_a_gpu_that_is_not_there_is_a_visible_state_until_it_is(
        self, start: Start, profile: Callable[..., None], cluster: TestCluster, capfd: pytest.CaptureFixture[str]
    ) -> None:
        profile("gpu", resources=self.GPU, amount="nvidia.com/gpu", startup_timeout=20)
        task = start("sleep", 1, compute="gpu:1")
        reason = "waiting for a place: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu"
        task.says(reason)
        cluster.set_gpus(1)
        try:
            assert task.result() == {"told": "sleep"}
        finally:
            cluster.set_gpus(None)
        assert capfd.readouterr().out.count(reason) == 1, "A state is logged when it changes, not at every look."

    def test_it_is_waited_for_as_long_as_the_profile_says(self, start: Start, profile: Callable[..., None]) -> None:
        profile("gpu", resources=self.GPU, schedule_timeout=3)
        with pytest.raises(AirflowFailException, match=r"found no place within 3 s .*Insufficient.*`schedule_timeout`"):
            start("sleep", 1, compute="gpu").result(60)

    def test_a_namespace_without_quota_left_is_waited_for(self, start: Start, cluster: TestCluster) -> None:
        cluster.kubectl("create", "quota", "full", "--hard=pods=0")
        try:
            task = start("sleep")
            task.says("waiting for a place: ")
            assert "exceeded quota" in task.said["state"]
        finally:
            cluster.kubectl("delete", "quota", "full")
        assert task.result() == {"told": "sleep"}
