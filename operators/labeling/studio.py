"""To Label Studio and back: a batch goes out, answers come in, disputes are settled."""

from collections.abc import Sequence
from typing import Any

from airlock.hooks.label_studio import LabelStudioHook
from airlock.operators.compute import by_compute
from airlock.operators.links import LABELLING, MANIFEST, REPORT
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator


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
    :param manifest: the labelling manifest, which the gate ``labelling`` released.
    """

    step = "hand_off"
    template_fields: Sequence[str] = ("use_case", "manifest")

    def __init__(self, *, use_case: str, manifest: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.use_case = use_case
        self.manifest = manifest


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
    """

    step = "adjudicate"
    template_fields: Sequence[str] = ("handoff", "disputed", "adjudicator")

    def __init__(self, *, handoff: Any, disputed: Any, adjudicator: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.handoff = handoff
        self.disputed = disputed
        self.adjudicator = adjudicator


class HandOffOperator(SubprocessPlace, HandOffStep):
    """:class:`HandOffStep` in a subprocess of the worker."""


class PullLabelsOperator(SubprocessPlace, PullLabelsStep):
    """:class:`PullLabelsStep` in a subprocess of the worker."""


class AdjudicateOperator(SubprocessPlace, AdjudicateStep):
    """:class:`AdjudicateStep` in a subprocess of the worker."""


hand_off = by_compute(HandOffOperator)
pull_labels = by_compute(PullLabelsOperator)
adjudicate = by_compute(AdjudicateOperator)
