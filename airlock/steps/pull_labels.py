"""Pull every answer of a hand-off, check and keep each, and resolve them to a label set."""

from typing import TYPE_CHECKING

import msgspec

from airlock.errors import DataRejected
from airlock.references import Artifact, LabelSet
from airlock.steps.context import StepContext
from airlock.stores.labels import Rule

if TYPE_CHECKING:
    from airlock.labeling.answers import Reading
    from airlock.labeling.handoff import HandOff
    from airlock.labeling.report import LabelReport
    from airlock.stores.labels import Incident, LabelStore

ENVIRONMENT = ("label-studio-sdk", "krippendorff", "scikit-learn", "statsmodels")
SEALED = True  # the labelling project holds samples; no code of a use case runs here
JSON_LINES = "application/x-ndjson"


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to pull, and how answers become labels.

    :param min_labelled: least share of the batch that must come out labelled, 0 to 1.
    :param min_agreement: least Krippendorff's alpha of the labelers; ``None`` asks for none.
    """

    handoff: Artifact
    rule: Rule = Rule(sources="fallback")
    min_labelled: float = 0.0
    min_agreement: float | None = None


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What people said.

    :param labels: of the whole dataset version: what came with it, people's answers, adjudications.
    :param version: number of this resolution of the dataset version's labels.
    :param report: HTML; ``figures`` the same as JSON.
    :param disputed: samples of the batch without a label, JSON Lines, for ``adjudicate``.
    :param counts: ``asked``, ``answers``, ``new``, ``labelled``, ``disputed`` and one for each kind of incident.
    """

    labels: LabelSet
    version: int
    report: Artifact
    figures: Artifact
    disputed: Artifact
    disputed_rows: int
    counts: dict[str, int]


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Keep what was said before anything is judged; nothing is dropped silently.

    :raises DataRejected: too few samples are labelled, or the labelers agree too little. What they said is kept.
    """
    from airlock.labeling.handoff import read_hand_off
    from airlock.labeling.report import render, summarise
    from airlock.stores.labels import LabelStore

    handoff = read_hand_off(context.artifacts.read(inputs.handoff.digest))
    store = LabelStore(context.database)
    new, incidents = _keep(handoff, store, context) if handoff.tasks else (0, {})
    resolution = store.decide(handoff.dataset, inputs.rule)
    batch = _batch(handoff, context)
    report = summarise(batch, store.latest(handoff.dataset.digest), resolution, store.read(resolution.labels))
    report = msgspec.structs.replace(report, incidents=incidents, new=new)
    page = context.artifacts.put(render(report, handoff, inputs.rule), "text/html")
    figures = context.artifacts.put(msgspec.json.encode(report), "application/json")
    context.link("Report", page.digest)
    context.link("Labelling project", handoff.url)
    _measure(report, context)
    _require(inputs, report)
    return Outputs(
        labels=resolution.labels,
        version=resolution.version,
        report=page,
        figures=figures,
        disputed=context.artifacts.put(report.for_adjudication(), JSON_LINES),
        disputed_rows=len(report.disputed),
        counts=report.counts,
    )


def _keep(handoff: "HandOff", store: "LabelStore", context: StepContext) -> tuple[int, dict[str, int]]:
    """Record answers and incidents; return how many answers are new, and the incidents by kind."""
    from airlock.labeling.answers import withdrawn

    reading, changed = _read(handoff, context)
    dataset = handoff.dataset.digest
    gone = withdrawn(iter(store.all_answers(dataset)), reading, handoff.origin)
    incidents = [*reading.incidents, *gone, *changed]
    store.note(dataset, incidents)
    new = store.record(dataset, reading.answers)
    counts: dict[str, int] = {}
    for item in incidents:
        counts[item.kind] = counts.get(item.kind, 0) + 1
    return new, counts


def _read(handoff: "HandOff", context: StepContext) -> "tuple[Reading, list[Incident]]":
    from airlock.labeling.answers import Asked, read_snapshot
    from airlock.labeling.config import read_config
    from airlock.labeling.tasks import decode_chosen
    from airlock.steps.hand_off import open_studio
    from airlock.stores.labels import Incident

    studio = open_studio(context)
    project = studio.project(handoff.project)
    asked = Asked(
        samples=tuple(item.sample_id for item in decode_chosen(context.artifacts.read(handoff.samples.digest))),
        config=read_config(handoff.config, handoff.classes),
        overlap=handoff.overlap,
        kind="label" if handoff.purpose == "labelling" else "adjudication",
        origin=handoff.origin,
        only=handoff.adjudicator,
    )
    changed = []
    if project.config.strip() != handoff.config.strip():
        detail = "the label config in Label Studio is no longer the approved one; answers are checked against that"
        changed.append(Incident(kind="config_changed", detail=detail, origin=handoff.origin, body=project.config))
    return read_snapshot(studio.snapshot(handoff.project), studio.people(), asked), changed


def _batch(handoff: "HandOff", context: StepContext) -> tuple[str, ...]:
    """The samples that labelers were asked about, also when this hand-off settles disputes about some of them."""
    from airlock.governance.manifest import LabellingManifest, load
    from airlock.labeling.tasks import decode_chosen

    manifest = load(context.artifacts, handoff.manifest, LabellingManifest)
    return tuple(item.sample_id for item in decode_chosen(context.artifacts.read(manifest.batch.digest)))


def _measure(report: "LabelReport", context: StepContext) -> None:
    for name, count in report.counts.items():
        context.metric(name, count)
    if report.agreement.alpha is not None:
        context.metric("alpha", report.agreement.alpha)


def _require(inputs: Inputs, report: "LabelReport") -> None:
    labelled, alpha = report.labelled / max(report.asked, 1), report.agreement.alpha
    if labelled < inputs.min_labelled:
        raise DataRejected(
            f"{report.labelled} of {report.asked} samples came out labelled, below {inputs.min_labelled:.0%}.",
            hint="Let more people answer or settle the disputes; see link Report.",
        )
    if inputs.min_agreement is not None and (alpha is None or alpha < inputs.min_agreement):
        found = "not defined" if alpha is None else f"{alpha:.2f}"
        raise DataRejected(
            f"The labelers' agreement (Krippendorff's alpha) is {found}, below {inputs.min_agreement:.2f}.",
            hint="Make the instructions clearer and ask again; see link Report.",
        )
