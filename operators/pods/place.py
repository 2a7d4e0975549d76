"""How a step runs in a pod, or in several."""

import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.sdk.exceptions import AirflowException

from airlock import progress
from airlock.errors import AirlockError, UserError
from airlock.operators.compute import profile
from airlock.operators.environment import step_environment
from airlock.operators.execution import Ending, Execution
from airlock.operators.pods import labels
from airlock.operators.pods.cluster import Cluster
from airlock.operators.pods.manifest import manifest
from airlock.operators.pods.remains import Remains
from airlock.operators.pods.watch import Watch
from airlock.operators.processes import of_worker
from airlock.operators.profiles import Profile
from airlock.operators.state import TaskState
from airlock.operators.step import run_info
from airlock.steps.contract import decode_spec

if TYPE_CHECKING:
    from airflow.sdk import Context

OF_THE_WORKER = ("AIRLOCK_HOME", "AIRLOCK_PROFILES")
"""Paths that mean nothing in a pod; its image has a home of its own."""
SLACK = 10.0
"""Seconds beyond its grace that a pod has to be gone."""


class PodPlace:
    """Runs a step in a pod of the image that the compute profile names, or in a Job of several.

    How it works: the pod runs ``python -m airlock.steps NAME --spec DOCUMENT`` against the same artifact store; its
    result document, not its exit status, says whether the step succeeded. What the pod waits for is shown as the
    task's state. A pod whose worker was lost is found by its labels and taken over by the task's next try.

    Known limitation: the artifact store must be reachable from the pod (``s3://…``, or a shared file system).
    """

    compute: str
    step: str
    _running: tuple[Cluster, Execution] | None = None

    def run_step(self, context: "Context", execution: Execution) -> Ending:
        """Run the pods to their end and take them away."""
        operator: Any = self
        if not execution.pod:
            wanted = msgspec.structs.replace(execution, pod=labels.new_name(self.step))
            document = manifest(wanted.pod, wanted, pod_environment(self.step) | operator.secrets())
        else:
            wanted, document = execution, None
        cluster = cluster_of(wanted.profile)
        show = partial(self._show, wanted.profile.workers > 1)
        state = TaskState(context)
        watch = Watch(cluster, wanted, state, show, operator.require_wanted)
        cluster.connect()
        self._running = (cluster, wanted)
        try:
            if document is not None:
                watch.create(document)
            ending = watch.to_end()
        except (AirflowException, UserError):  # stopped, or refused: on whatever other error the next try goes on
            self._remove(cluster, wanted, wait=False)
            raise
        state.say(ending.reason)
        self._remove(cluster, wanted, wait=ending.kind != "ended")
        self._running = None
        return ending

    def left_over(self, context: "Context", key: str) -> Execution | None:
        """The execution that a lost worker left, if it computes what is wanted now; anything else of it is deleted."""
        operator: Any = self
        found: Execution | None = None
        for remains in self._remains(context):
            if found is None and remains.key == key and (data := operator.artifacts.document(remains.document)):
                found = Execution(
                    spec=decode_spec(data),
                    document=remains.document,
                    key=key,
                    compute=remains.compute,
                    profile=profile(remains.compute),
                    pod=remains.name,
                )
                operator.log.info("Took over %s, which an earlier try left running.", remains.name)
            else:
                remains.delete()
        return found

    def abandoned(self, context: "Context") -> None:
        """Delete the pods of a task that has failed for good."""
        super().abandoned(context)  # type: ignore[misc]
        try:
            for remains in self._remains(context):
                remains.delete()
        except AirlockError as error:
            self.log.warning("A pod of this task may be left: %s", error)  # type: ignore[attr-defined]

    def on_kill(self) -> None:
        """Delete the pods."""
        super().on_kill()  # type: ignore[misc]
        if self._running is not None:
            cluster, execution = self._running
            self._remove(cluster.again(), execution, wait=False)

    def _show(self, several: bool, pod: str, line: str) -> None:
        text = progress.parse(line) or of_worker(pod.rpartition("-")[2], line, several and bool(pod))
        self.log.info("%s", text)  # type: ignore[attr-defined]

    def _remains(self, context: "Context") -> Iterator[Remains]:
        """What there is of this task on the clusters it may have used, newest first."""
        chain = [profile(self.compute)]
        while bigger := chain[-1].on_out_of_memory:
            chain.append(profile(bigger))
        several = any(each.workers > 1 for each in chain)
        for connection, namespace in dict.fromkeys((each.connection, each.namespace) for each in chain):
            yield from Remains.of(Cluster(connection, namespace), labels.of_task(run_info(context)), jobs=several)

    def _remove(self, cluster: Cluster, execution: Execution, *, wait: bool) -> None:
        """Delete the pods; before the step starts again, wait until they are gone."""
        several = execution.profile.workers > 1
        try:
            cluster.delete(execution.pod, job=several)
            deadline = time.monotonic() + execution.profile.grace + SLACK
            while wait and (left := cluster.pods({labels.SET: execution.pod})):
                if time.monotonic() > deadline:
                    for pod in left:
                        cluster.delete(pod["metadata"]["name"], job=False, now=True)
                    return
                time.sleep(0.5)
        except AirlockError as error:
            self.log.warning("%s may be left: %s", execution.pod, error)  # type: ignore[attr-defined]


def cluster_of(chosen: Profile) -> Cluster:
    """The cluster of a profile."""
    return Cluster(chosen.connection, chosen.namespace)


def pod_environment(step: str) -> dict[str, str]:
    """What a pod is told: where the stores are, and how to reach S3. Nothing else of the worker's environment."""
    told = {name: value for name, value in step_environment(step).items() if name.startswith(("AIRLOCK_", "AWS_"))}
    return {name: value for name, value in told.items() if name not in OF_THE_WORKER}
