"""How a step runs in a pod."""

from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException
from kubernetes.client import models as k8s

from airlock import progress
from airlock.operators.compute import Profile, profile
from airlock.operators.environment import step_environment

if TYPE_CHECKING:
    from airflow.sdk import Context

CONTAINER_USER = 10001
OF_THE_WORKER = ("AIRLOCK_HOME", "AIRLOCK_PROFILES")
"""Paths that mean nothing in a pod; its image has a home of its own."""


class StepPod(KubernetesPodOperator):
    """The pod of one step. Composed, not inherited: a step has inputs called ``image`` and ``labels``, as a pod has."""

    def run_to_end(self, context: "Context") -> None:
        """Create the pod, pass its log on and wait; a pod that failed raises."""
        self.name = self._set_name(self.name)
        self.execute_sync(context)


class PodPlace:
    """Runs a step in a pod of the image that the compute profile names.

    How it works: the pod runs ``python -m airlock.steps NAME --spec DOCUMENT`` against the same artifact store; its
    result document, not its exit status and no XCom sidecar, says whether the step succeeded.

    Known limitation: the artifact store must be reachable from the pod (``s3://…``, or a shared file system).
    """

    task_id: str
    compute: str
    step: str
    _pod: StepPod | None = None

    def run_step(self, context: "Context", document: str) -> str:
        """Run the pod to its end; what it left in the store decides, so a failed pod is not an exception here."""
        self._pod = self.pod(document)
        try:
            self._pod.run_to_end(context)
        except AirflowException as error:
            return f"ended badly ({error})"
        return "ended"

    def pod(self, document: str) -> StepPod:
        """The pod for a spec document, as the compute profile asks for it."""
        chosen = profile(self.compute)
        return StepPod(
            task_id=self.task_id,
            name=f"airlock-{self.step.replace('_', '-')}",
            namespace=chosen.namespace,
            image=chosen.image,
            cmds=["python", "-u", "-m", "airlock.steps"],
            arguments=[self.step, "--spec", document],
            env_vars=pod_environment(self.step) | self.secrets() | chosen.environment,  # type: ignore[attr-defined]
            labels={"airlock/step": self.step},
            container_resources=k8s.V1ResourceRequirements(requests=chosen.resources, limits=chosen.resources),
            node_selector=chosen.node_selector,
            tolerations=[k8s.V1Toleration(**toleration) for toleration in chosen.tolerations],
            priority_class_name=chosen.priority_class or None,
            security_context={"runAsNonRoot": True, "runAsUser": CONTAINER_USER},
            log_formatter=readable,
            **shared_memory(chosen),
        )

    def on_kill(self) -> None:
        """Delete the pod."""
        if self._pod is not None:
            self._pod.on_kill()


def readable(_container: str, line: str) -> str:
    """Show a progress line as people read it."""
    return str(progress.parse(line) or line)


def shared_memory(chosen: Profile) -> dict[str, Any]:
    """Volumes for a ``/dev/shm`` of the profile's size: data loaders need more than the runtime's 64 MiB."""
    if not chosen.shared_memory:
        return {}
    memory = k8s.V1EmptyDirVolumeSource(medium="Memory", size_limit=chosen.shared_memory)
    return {
        "volumes": [k8s.V1Volume(name="shm", empty_dir=memory)],
        "volume_mounts": [k8s.V1VolumeMount(name="shm", mount_path="/dev/shm")],
    }


def pod_environment(step: str) -> dict[str, str]:
    """What a pod is told: where the stores are, and how to reach S3. Nothing else of the worker's environment."""
    told = {name: value for name, value in step_environment(step).items() if name.startswith(("AIRLOCK_", "AWS_"))}
    return {name: value for name, value in told.items() if name not in OF_THE_WORKER}
