"""Every step's operator that runs it as a pod."""

from airlock.operators import data, deployment, labeling, model, stream
from airlock.operators.pods.place import PodPlace


class IngestPodOperator(PodPlace, data.IngestStep):
    """:class:`~airlock.operators.data.IngestStep` in a pod."""


class StreamPodOperator(PodPlace, stream.StreamStep):
    """:class:`~airlock.operators.stream.StreamStep` in a pod."""


class CleanPodOperator(PodPlace, data.CleanStep):
    """:class:`~airlock.operators.data.CleanStep` in a pod."""


class VersionPodOperator(PodPlace, data.VersionStep):
    """:class:`~airlock.operators.data.VersionStep` in a pod."""


class ValidatePodOperator(PodPlace, data.ValidateStep):
    """:class:`~airlock.operators.data.ValidateStep` in a pod."""


class SplitPodOperator(PodPlace, data.SplitStep):
    """:class:`~airlock.operators.data.SplitStep` in a pod."""


class DataManifestPodOperator(PodPlace, data.DataManifestStep):
    """:class:`~airlock.operators.data.DataManifestStep` in a pod."""


class ChooseBatchPodOperator(PodPlace, labeling.ChooseBatchStep):
    """:class:`~airlock.operators.labeling.ChooseBatchStep` in a pod."""


class LabellingManifestPodOperator(PodPlace, labeling.LabellingManifestStep):
    """:class:`~airlock.operators.labeling.LabellingManifestStep` in a pod."""


class HandOffPodOperator(PodPlace, labeling.HandOffStep):
    """:class:`~airlock.operators.labeling.HandOffStep` in a pod."""


class PullLabelsPodOperator(PodPlace, labeling.PullLabelsStep):
    """:class:`~airlock.operators.labeling.PullLabelsStep` in a pod."""


class AdjudicatePodOperator(PodPlace, labeling.AdjudicateStep):
    """:class:`~airlock.operators.labeling.AdjudicateStep` in a pod."""


class TransformPodOperator(PodPlace, model.TransformStep):
    """:class:`~airlock.operators.model.TransformStep` in a pod."""


class SearchTrialsPodOperator(PodPlace, model.SearchTrialsStep):
    """:class:`~airlock.operators.model.SearchTrialsStep` in a pod."""


class ConcludeSearchPodOperator(PodPlace, model.ConcludeSearchStep):
    """:class:`~airlock.operators.model.ConcludeSearchStep` in a pod."""


class TrainPodOperator(PodPlace, model.TrainStep):
    """:class:`~airlock.operators.model.TrainStep` in a pod."""


class EvaluatePodOperator(PodPlace, model.EvaluateStep):
    """:class:`~airlock.operators.model.EvaluateStep` in a pod."""


class RegisterPodOperator(PodPlace, model.RegisterStep):
    """:class:`~airlock.operators.model.RegisterStep` in a pod."""


class RevisePodOperator(PodPlace, model.ReviseStep):
    """:class:`~airlock.operators.model.ReviseStep` in a pod."""


class CompressPodOperator(PodPlace, model.CompressStep):
    """:class:`~airlock.operators.model.CompressStep` in a pod."""


class PackagePodOperator(PodPlace, deployment.PackageStep):
    """:class:`~airlock.operators.deployment.PackageStep` in a pod."""


class ContractTestPodOperator(PodPlace, deployment.ContractTestStep):
    """:class:`~airlock.operators.deployment.ContractTestStep` in a pod."""


class DeployPodOperator(PodPlace, deployment.DeployStep):
    """:class:`~airlock.operators.deployment.DeployStep` in a pod."""


class CanaryPodOperator(PodPlace, deployment.CanaryStep):
    """:class:`~airlock.operators.deployment.CanaryStep` in a pod."""


class SmokeTestPodOperator(PodPlace, deployment.SmokeTestStep):
    """:class:`~airlock.operators.deployment.SmokeTestStep` in a pod."""
