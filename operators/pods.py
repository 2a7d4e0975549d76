"""The pod place: the same steps as Kubernetes pods. Imported only when a compute profile asks for a pod."""

from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException
from kubernetes.client import models as k8s

from airlock import progress
from airlock.operators import data, deployment, model
from airlock.operators.compute import Profile, profile
from airlock.operators.step import step_environment
from airlock.steps.contract import Spec

if TYPE_CHECKING:
    from airflow.sdk import Context

CONTAINER_USER = 10001


class PodPlace:
    """Runs a step in a pod of the image that the compute profile names.

    How it works: the pod runs ``python -m airlock.steps NAME --spec DOCUMENT`` against the same artifact store; its
    result document, not its exit status and no XCom sidecar, says whether the step succeeded.

    Known limitation: the artifact store must be reachable from the pod (``s3://…``, or a shared file system).
    """

    compute: str
    step: str

    def __init__(self, *, compute: str, **kwargs: Any) -> None:
        chosen = profile(compute)
        super().__init__(  # type: ignore[call-arg]
            compute=compute,
            image=chosen.image,
            namespace=chosen.namespace,
            container_resources=k8s.V1ResourceRequirements(requests=chosen.resources, limits=chosen.resources),
            node_selector=chosen.node_selector,
            tolerations=[k8s.V1Toleration(**toleration) for toleration in chosen.tolerations],
            priority_class_name=chosen.priority_class or None,
            labels={"airlock/step": self.step},  # type: ignore[attr-defined]
            log_formatter=readable,
            **shared_memory(chosen),
            **kwargs,
        )

    def run_step(self, context: "Context", spec: Spec, document: str) -> str:
        """Run the pod to its end; what it left in the store decides, so a failed pod is not an exception here."""
        self.command_for(spec, document)
        try:
            KubernetesPodOperator.execute(self, context)
        except AirflowException as error:
            return f"ended badly ({error})"
        return "ended"

    def command_for(self, spec: Spec, document: str) -> None:
        """Set the pod's command and environment."""
        self.cmds = ["python", "-u", "-m", "airlock.steps"]
        self.arguments = [spec.step, "--spec", document]
        variables = pod_environment() | profile(self.compute).environment
        self.env_vars = [k8s.V1EnvVar(name=name, value=value) for name, value in sorted(variables.items())]


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


def pod_environment() -> dict[str, str]:
    """What a pod is told: where the stores are, and how to reach S3. Nothing else of the worker's environment."""
    return {name: value for name, value in step_environment().items() if name.startswith(("AIRLOCK_", "AWS_"))}


class IngestPodOperator(PodPlace, data.IngestStep, KubernetesPodOperator):
    """:class:`~airlock.operators.data.IngestStep` in a pod."""


class CleanPodOperator(PodPlace, data.CleanStep, KubernetesPodOperator):
    """:class:`~airlock.operators.data.CleanStep` in a pod."""


class VersionPodOperator(PodPlace, data.VersionStep, KubernetesPodOperator):
    """:class:`~airlock.operators.data.VersionStep` in a pod."""


class ValidatePodOperator(PodPlace, data.ValidateStep, KubernetesPodOperator):
    """:class:`~airlock.operators.data.ValidateStep` in a pod."""


class SplitPodOperator(PodPlace, data.SplitStep, KubernetesPodOperator):
    """:class:`~airlock.operators.data.SplitStep` in a pod."""


class DataManifestPodOperator(PodPlace, data.DataManifestStep, KubernetesPodOperator):
    """:class:`~airlock.operators.data.DataManifestStep` in a pod."""


class TransformPodOperator(PodPlace, model.TransformStep, KubernetesPodOperator):
    """:class:`~airlock.operators.model.TransformStep` in a pod."""


class TrainPodOperator(PodPlace, model.TrainStep, KubernetesPodOperator):
    """:class:`~airlock.operators.model.TrainStep` in a pod."""


class EvaluatePodOperator(PodPlace, model.EvaluateStep, KubernetesPodOperator):
    """:class:`~airlock.operators.model.EvaluateStep` in a pod."""


class RegisterPodOperator(PodPlace, model.RegisterStep, KubernetesPodOperator):
    """:class:`~airlock.operators.model.RegisterStep` in a pod."""


class CompressPodOperator(PodPlace, model.CompressStep, KubernetesPodOperator):
    """:class:`~airlock.operators.model.CompressStep` in a pod."""


class PackagePodOperator(PodPlace, deployment.PackageStep, KubernetesPodOperator):
    """:class:`~airlock.operators.deployment.PackageStep` in a pod."""


class ContractTestPodOperator(PodPlace, deployment.ContractTestStep, KubernetesPodOperator):
    """:class:`~airlock.operators.deployment.ContractTestStep` in a pod."""


class DeployPodOperator(PodPlace, deployment.DeployStep, KubernetesPodOperator):
    """:class:`~airlock.operators.deployment.DeployStep` in a pod."""


class SmokeTestPodOperator(PodPlace, deployment.SmokeTestStep, KubernetesPodOperator):
    """:class:`~airlock.operators.deployment.SmokeTestStep` in a pod."""
