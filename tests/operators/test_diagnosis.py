"""How a pod ended, read from documents as API servers of several versions give them."""

from typing import Any

import pytest

from airlock.operators.pods.diagnosis import STEP, cannot_start, ended, waiting

LIMITS = {"limits": {"memory": "4Gi"}}


def pod(phase: str = "Failed", *, deleted: bool = False, node: str = "n1", **status: Any) -> dict[str, Any]:
    metadata = {"name": "p"} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {})
    container = {"name": STEP, "image": "registry/step:1", "resources": LIMITS}
    return {
        "metadata": metadata,
        "spec": {"nodeName": node, "containers": [container]},
        "status": {"phase": phase} | status,
    }


def terminated(code: int, reason: str = "Error", message: str = "") -> list[dict[str, Any]]:
    final = {"exitCode": code, "reason": reason, "message": message}
    return [{"name": "sidecar", "state": {"running": {}}}, {"name": STEP, "state": {"terminated": final}}]


def held_up(reason: str, message: str = "") -> list[dict[str, Any]]:
    return [{"name": STEP, "state": {"waiting": {"reason": reason, "message": message}}}]


class TestTheEnd:
    @pytest.mark.parametrize(
        ("document", "kind", "says"),
        [
            (pod("Succeeded", containerStatuses=terminated(0, "Completed")), "ended", "status 0"),
            (pod(containerStatuses=terminated(137, "OOMKilled")), "out of memory", "its limit of 4Gi"),
            (
                pod(reason="Evicted", message="The node was low on resource: memory."),
                "interrupted",
                "Evicted: The node was low",
            ),
            (
                pod(reason="Evicted", message='Usage of EmptyDir volume "shm" exceeds the limit "2Gi".'),
                "resource",
                "exceeds the limit",
            ),
            (pod(reason="Preempting", message="Preempted in order to admit critical pod"), "interrupted", "Preempting"),
            (pod(reason="NodeLost", message="Node n1 is unresponsive"), "interrupted", "NodeLost"),
            (pod(reason="Shutdown", message="Node is shutting down"), "interrupted", "Shutdown"),
            (pod(reason="OutOfcpu", message="Pod Node didn't have enough resource"), "interrupted", "OutOfcpu"),
            (pod(reason="DeadlineExceeded", message="active on the node longer"), "resource", "longer than it may"),
            (
                pod(
                    containerStatuses=terminated(143),
                    conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}],
                ),
                "interrupted",
                "PreemptionByScheduler",
            ),
            (pod(containerStatuses=terminated(137, "ContainerStatusUnknown")), "interrupted", "lost with its node"),
            (pod(), "interrupted", "lost with its node"),
            (pod(deleted=True), "interrupted", "its pod was deleted"),
            (
                pod(deleted=True, containerStatuses=terminated(137, "ContainerStatusUnknown")),
                "interrupted",
                "its pod was deleted",
            ),
            (pod(containerStatuses=terminated(137)), "interrupted", "killed by SIGKILL"),
            (pod(containerStatuses=terminated(143)), "interrupted", "asked to end"),
            (pod(deleted=True, containerStatuses=terminated(1)), "interrupted", "its pod was deleted"),
            (pod(containerStatuses=terminated(1)), "user", "status 1"),
            (pod(containerStatuses=terminated(139)), "user", "status 139"),
            (pod(containerStatuses=terminated(2)), "silent", "status 2"),
            (
                pod(containerStatuses=terminated(128, "StartError", 'exec: "python": not found in $PATH')),
                "user",
                'exec: "python": not found',
            ),
        ],
    )
    def test_is_of_the_right_kind(self, document: dict[str, Any], kind: str, says: str) -> None:
        ending = ended(document)
        assert ending is not None
        assert ending.kind == kind
        assert says in ending.reason

    @pytest.mark.parametrize("kind", ["out of memory", "resource", "user"])
    def test_that_somebody_must_act_on_says_how(self, kind: str) -> None:
        documents = {
            "out of memory": pod(containerStatuses=terminated(137, "OOMKilled")),
            "resource": pod(reason="DeadlineExceeded"),
            "user": pod(containerStatuses=terminated(1)),
        }
        ending = ended(documents[kind])
        assert ending is not None
        assert ending.hint

    def test_has_not_come_while_the_pod_runs(self) -> None:
        assert ended(pod("Running", containerStatuses=[{"name": STEP, "state": {"running": {}}}])) is None


class TestWaiting:
    def test_for_a_place_gives_the_schedulers_reason(self) -> None:
        refused = [
            {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: 3 Insufficient cpu."}
        ]
        wait = waiting(pod("Pending", node="", conditions=refused))
        assert (wait.stage, wait.text) == (
            "place",
            "waiting for a place: 0/3 nodes are available: 3 Insufficient cpu.",
        )

    def test_for_a_start_gives_the_kubelets_reason(self) -> None:
        wait = waiting(pod("Pending", containerStatuses=held_up("ContainerCreating")))
        assert (wait.stage, wait.text) == ("start", "starting on node n1: ContainerCreating")

    def test_for_an_image_that_may_still_come_goes_on(self) -> None:
        document = pod("Pending", containerStatuses=held_up("ErrImagePull", "dial tcp: i/o timeout"))
        assert waiting(document).image
        assert cannot_start(document) is None

    def test_for_a_secret_that_was_not_read_yet_goes_on(self) -> None:
        said = "failed to sync secret cache: timed out waiting for the condition"
        assert cannot_start(pod("Pending", containerStatuses=held_up("CreateContainerConfigError", said))) is None

    @pytest.mark.parametrize(
        ("reason", "message"),
        [
            ("ErrImagePull", "manifest for registry/step:1 not found: manifest unknown"),
            ("ImagePullBackOff", "pull access denied, repository does not exist"),
            ("InvalidImageName", "invalid reference format"),
            ("CreateContainerConfigError", 'secret "keys" not found'),
        ],
    )
    def test_for_what_will_never_come_ends_at_once(self, reason: str, message: str) -> None:
        ending = cannot_start(pod("Pending", containerStatuses=held_up(reason, message)))
        assert ending is not None
        assert ending.kind == "user"
        assert message in ending.reason
