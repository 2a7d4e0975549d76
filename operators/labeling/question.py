"""What people are asked, and about which samples."""

from collections.abc import Sequence
from typing import Any

from airlock.operators.champion import champion
from airlock.operators.compute import by_compute
from airlock.operators.links import MANIFEST
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator


class ChooseBatchStep(StepOperator):
    """Choose the samples that people are asked about, by how much their answers are worth.

    :param use_case: whose champion, the model that serves, judges what is uncertain.
    :param dataset: the dataset version.
    :param labels: its label set: what has a label is not asked about. ``None`` asks about everything.
    :param size: at most that many samples.
    :param strategy: ``random``, ``stratified``, ``least_confidence``, ``margin``, ``entropy``, ``diversity``, or
        ``mix`` (half uncertain, half diverse). Without predictions or a champion that reads the samples, uncertainty
        becomes ``random``, and says so.
    :param predictions: by another model, JSON Lines ``{"sample_id": …, "probabilities": {class: …}, "model": …}``.
    :param include_labelled: ask also about what has a label, for example to check labels that came with the samples.
    :param kind: ``image`` or ``text``, for what is diverse.
    :param seed: of what is random.
    """

    step = "choose_batch"
    template_fields: Sequence[str] = (
        "dataset",
        "labels",
        "size",
        "strategy",
        "predictions",
        "include_labelled",
        "kind",
        "seed",
    )

    def __init__(
        self,
        *,
        use_case: str,
        dataset: Any,
        size: int,
        labels: Any = None,
        strategy: str = "mix",
        predictions: Any = None,
        include_labelled: bool = False,
        kind: str = "image",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.use_case = use_case
        self.dataset = dataset
        self.labels = labels
        self.size = size
        self.strategy = strategy
        self.predictions = predictions
        self.include_labelled = include_labelled
        self.kind = kind
        self.seed = seed

    @property
    def inputs(self) -> dict[str, Any]:
        """The arguments, and the release that serves now: another champion chooses another batch."""
        return super().inputs | {"champion": champion(self.use_case)}


class LabellingManifestStep(StepOperator):
    """Tie the chosen samples and the question about them into the manifest that the labelling gate releases.

    :param use_case: name of the use case.
    :param classes: the answers there are.
    :param dataset: the dataset version.
    :param batch: the chosen samples.
    :param kind: ``image`` or ``text``: the label config is made from the classes.
    :param config: path of a Label Studio label config (XML) to take instead.
    :param overlap: different people asked about each sample.
    :param instructions: what labelers read first.
    :param strategy: how the batch was chosen, for whoever decides.
    """

    step = "labelling_manifest"
    files = ("config",)
    template_fields: Sequence[str] = (
        "use_case",
        "classes",
        "dataset",
        "batch",
        "kind",
        "config",
        "overlap",
        "instructions",
        "strategy",
    )
    operator_extra_links = (MANIFEST,)

    def __init__(
        self,
        *,
        use_case: str,
        classes: Any,
        dataset: Any,
        batch: Any,
        kind: str = "image",
        config: str | None = None,
        overlap: int = 2,
        instructions: str = "",
        strategy: Any = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.use_case = use_case
        self.classes = classes
        self.dataset = dataset
        self.batch = batch
        self.kind = kind
        self.config = config
        self.overlap = overlap
        self.instructions = instructions
        self.strategy = strategy


class ChooseBatchOperator(SubprocessPlace, ChooseBatchStep):
    """:class:`ChooseBatchStep` in a subprocess of the worker."""


class LabellingManifestOperator(SubprocessPlace, LabellingManifestStep):
    """:class:`LabellingManifestStep` in a subprocess of the worker."""


choose_batch = by_compute(ChooseBatchOperator)
labelling_manifest = by_compute(LabellingManifestOperator)
