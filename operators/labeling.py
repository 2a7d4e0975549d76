"""Operators of the labelling: from a dataset version to labels that people gave."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airlock.errors import AirlockError
from airlock.hooks.artifacts import ArtifactsHook
from airlock.hooks.label_studio import LabelStudioHook
from airlock.operators.compute import by_compute
from airlock.operators.labels_trigger import LabelsTrigger
from airlock.operators.links import LABELLING, MANIFEST, REPORT
from airlock.operators.outputs import NamedOutputs
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airlock.labeling.handoff import HandOff


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


class StudioStep(StepOperator):
    """Base of the steps that talk to Label Studio. Never cached: what labelers did is the world's state.

    The step is given the connection's address and token in its environment only: neither is in a spec, an XCom or a
    log.

    :param conn_id: Airflow connection of type ``airlock_label_studio``; ``None`` for the settings.
    """

    operator_extra_links = (LABELLING, MANIFEST)

    def __init__(self, *, conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**({"cache": False} | kwargs))
        self.conn_id = conn_id

    def secrets(self) -> dict[str, str]:
        """The address and the token of Label Studio, as settings."""
        return LabelStudioHook(self.conn_id).environment()


class HandOffStep(StudioStep):
    """Hand an approved batch to labelers: one project, every sample once. Verifies the decision itself.

    :param use_case: name of the use case.
    :param manifest: the labelling manifest.
    :param gate: name of the gate whose approval is required.
    """

    step = "hand_off"
    template_fields: Sequence[str] = ("use_case", "manifest", "gate")

    def __init__(self, *, use_case: str, manifest: Any, gate: str = "labelling", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.use_case = use_case
        self.manifest = manifest
        self.gate = gate


class PullLabelsStep(StudioStep):
    """Pull every answer, check and keep each, and resolve them to a label set of the whole dataset version.

    :param handoff: the hand-off, of labelling or of adjudication.
    :param rule: how answers become a label, :class:`airlock.stores.labels.Rule` as a dict, for example
        ``{"consensus": "majority", "agreement": 0.6, "sources": "fallback"}``.
    :param min_labelled: fail when a smaller share of the batch comes out labelled, 0 to 1.
    :param min_agreement: fail when Krippendorff's alpha is smaller; ``None`` asks for none.
    """

    step = "pull_labels"
    template_fields: Sequence[str] = ("handoff", "rule", "min_labelled", "min_agreement")
    operator_extra_links = (REPORT, LABELLING)

    def __init__(
        self,
        *,
        handoff: Any,
        rule: dict[str, Any] | None = None,
        min_labelled: float = 0.0,
        min_agreement: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.handoff = handoff
        self.rule = rule or {"sources": "fallback"}
        self.min_labelled = min_labelled
        self.min_agreement = min_agreement


class AdjudicateStep(StudioStep):
    """Give what labelers do not agree about to one person, whose answers win. Makes no project when all agree.

    :param handoff: of the labelling.
    :param disputed: what ``pull_labels`` found disputed.
    :param adjudicator: e-mail address in Label Studio of who alone settles; empty takes anybody's answers there.
    :param gate: the gate that released the batch.
    """

    step = "adjudicate"
    template_fields: Sequence[str] = ("handoff", "disputed", "adjudicator", "gate")

    def __init__(
        self, *, handoff: Any, disputed: Any, adjudicator: str = "", gate: str = "labelling", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.handoff = handoff
        self.disputed = disputed
        self.adjudicator = adjudicator
        self.gate = gate


class WaitForLabelsOperator(NamedOutputs, BaseOperator):
    """Wait until people answered, holding no worker slot.

    How it works: defers to a trigger that counts answers every ``poll`` seconds. A webhook only wakes it earlier;
    what counts is what the project holds. A server that is away is waited for.

    How it ends: enough samples have their answers; or samples were deleted in Label Studio, which fails it, because
    they can never be answered: clear ``hand_off`` to push them again. A deadline is Airflow's ``execution_timeout``.

    :param handoff: the hand-off.
    :param share: share of the samples that must have all their answers, 0 to 1.
    :param poll: seconds between two counts.
    :param reminder: seconds without progress after which the log says who is awaited.
    :param conn_id: Airflow connection of type ``airlock_label_studio``; ``None`` for the settings.
    """

    template_fields: Sequence[str] = ("handoff", "share")
    operator_extra_links = (LABELLING,)
    ui_color = "#f9e3c0"

    def __init__(
        self,
        *,
        handoff: Any,
        share: float = 1.0,
        poll: float = 30.0,
        reminder: float = 24 * 3600.0,
        conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 3)
        kwargs.setdefault("retry_delay", timedelta(seconds=5))
        super().__init__(**kwargs)
        self.handoff = handoff
        self.share = share
        self.poll = poll
        self.reminder = reminder
        self.conn_id = conn_id
        self.result_links: dict[str, str] = {}

    @cached_property
    def asked(self) -> "HandOff":
        """The hand-off's document."""
        from airlock.labeling.handoff import read_hand_off

        return read_hand_off(ArtifactsHook().get_conn().read(str(self.handoff["digest"])))

    def execute(self, context: "Context") -> dict[str, Any]:
        """Defer, unless nothing was asked."""
        try:
            asked = self.asked
        except AirlockError as error:
            raise self._failure(error) from error
        self.result_links = {"Labelling project": asked.url}
        if not asked.tasks:
            return self._done(context, "Nothing to wait for.", {})
        self.log.info("Waiting for answers about %s samples at %s.", asked.tasks, asked.url)
        return self.defer(
            trigger=LabelsTrigger(
                handoff=str(self.handoff["digest"]),
                share=float(self.share),
                poll=self.poll,
                reminder=self.reminder,
                conn_id=self.conn_id,
            ),
            method_name="execute_complete",
            timeout=self.execution_timeout,
        )

    def execute_complete(self, context: "Context", event: dict[str, Any]) -> dict[str, Any]:
        """Go on, or fail with what the trigger saw."""
        self.result_links = {"Labelling project": self.asked.url}
        if event["status"] != "complete":
            raise AirflowFailException(event["message"])
        return self._done(context, event["message"], event["progress"])

    def _done(self, context: "Context", line: str, progress: dict[str, Any]) -> dict[str, Any]:
        self.log.info("%s", line)
        context["ti"].xcom_push(key="summary", value={"headline": line, "table": "", "cached": False})
        return {"handoff": self.handoff, "progress": progress}

    def _failure(self, error: AirlockError) -> AirflowException:
        kind = AirflowException if error.category == "infrastructure" else AirflowFailException
        return kind(str(error))


def champion(use_case: str) -> str:
    """Digest of the release manifest that serves a use case, by the verified ledger; empty when none does."""
    from airlock.governance.book import Book
    from airlock.hooks.database import DatabaseHook
    from airlock.settings import settings
    from airlock.stores.ledger import Ledger

    return Book.open(Ledger(DatabaseHook().get_conn()), settings().public_keys).last_served(use_case)


class ChooseBatchOperator(SubprocessPlace, ChooseBatchStep):
    """:class:`ChooseBatchStep` in a subprocess of the worker."""


class LabellingManifestOperator(SubprocessPlace, LabellingManifestStep):
    """:class:`LabellingManifestStep` in a subprocess of the worker."""


class HandOffOperator(SubprocessPlace, HandOffStep):
    """:class:`HandOffStep` in a subprocess of the worker."""


class PullLabelsOperator(SubprocessPlace, PullLabelsStep):
    """:class:`PullLabelsStep` in a subprocess of the worker."""


class AdjudicateOperator(SubprocessPlace, AdjudicateStep):
    """:class:`AdjudicateStep` in a subprocess of the worker."""


def wait_for_labels(**kwargs: Any) -> WaitForLabelsOperator:
    """Make a :class:`WaitForLabelsOperator`; ``task_id`` defaults to ``wait_for_labels``."""
    kwargs.setdefault("task_id", "wait_for_labels")
    return WaitForLabelsOperator(**kwargs)


choose_batch = by_compute(ChooseBatchOperator)
labelling_manifest = by_compute(LabellingManifestOperator)
hand_off = by_compute(HandOffOperator)
pull_labels = by_compute(PullLabelsOperator)
adjudicate = by_compute(AdjudicateOperator)
