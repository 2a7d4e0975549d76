"""Trains an approved candidate again from refactored source, with its own data, parameters and seed, and compares.

The transform is compared first, sample by sample: what makes other tensors is refused before anything is trained.
Then the models are compared by shape, weights and answers. The test samples are for the evaluate step, as ever.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from airlock.errors import UserError
from airlock.governance.revisions import ModelDifference, Revision, SplitDifference, Tolerances
from airlock.references import Artifact, TrackingRun
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.governance.manifest import CandidateManifest
    from airlock.steps import train

ENVIRONMENT = ("keras", "mlflow", "numpy", "pillow", "pyarrow", "tensorflow", "torch")
SPLITS = ("train", "validation")


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param manifest: the approved candidate's.
    :param transform_code: the refactored ``transform.py``; the candidate's own when there is none. Likewise
        ``network_code``, the network's code or resolved architecture.
    :param experiment: MLflow experiment.
    :param tolerances: what still counts as equal.
    """

    manifest: Artifact
    transform_code: Artifact | None = None
    network_code: Artifact | None = None
    experiment: str
    tolerances: Tolerances = Tolerances()


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What evaluate and register need of a revision that is equal within tolerance.

    :param data: the data manifest; likewise the candidate's own are ``classes``, ``parameters`` and ``seed``.
    :param revision: :class:`airlock.governance.revisions.Revision` as JSON, ``report`` the same as a page.
    """

    data: Artifact
    classes: list[str]
    parameters: dict[str, Any]
    seed: int
    transform_code: Artifact
    network_code: Artifact
    tensors: Artifact
    model: Artifact
    run: TrackingRun
    revision: Artifact
    report: Artifact
    verdict: str


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Transform, train and compare.

    :raises UserError: nothing is new, or the revision is not equal within tolerance: the figures are in the message.
    """
    from airlock.governance.manifest import CandidateManifest, load
    from airlock.model.backend import load_keras
    from airlock.model.training import Schedule

    candidate = load(context.artifacts, inputs.manifest.digest, CandidateManifest)
    sources = _sources(inputs, candidate)
    load_keras(Schedule.of(candidate.parameters).backend)
    tensors, revision = _transformed(inputs, context, candidate, sources)
    _require_equal(revision, context)
    trained, revision = _trained(inputs, context, candidate, sources.network, tensors, revision)
    stored, report = _require_equal(revision, context)
    return Outputs(
        data=_data(context, candidate),
        classes=candidate.classes,
        parameters=candidate.parameters,
        seed=candidate.seed,
        transform_code=sources.transform,
        network_code=sources.network,
        tensors=tensors,
        model=trained.model,
        run=trained.run,
        revision=stored,
        report=report,
        verdict=revision.verdict,
    )


class _Sources(NamedTuple):
    """The source a revision is made from; ``revised`` says what of it is new."""

    transform: Artifact
    network: Artifact
    revised: list[str]


def _sources(inputs: Inputs, candidate: "CandidateManifest") -> _Sources:
    code, network = inputs.transform_code or candidate.transform_code, inputs.network_code or candidate.network_code
    pairs = {"transform": (code, candidate.transform_code), "network": (network, candidate.network_code)}
    revised = [name for name, (now, before) in pairs.items() if now.digest != before.digest]
    if not revised:
        raise UserError(
            "Nothing is revised: transform and network are the candidate's own, to the byte.",
            hint="Name other source in the run's configuration, or change it, and clear this task.",
        )
    return _Sources(code, network, revised)


def _transformed(
    inputs: Inputs, context: StepContext, candidate: "CandidateManifest", sources: _Sources
) -> tuple[Artifact, Revision]:
    from airlock.steps import transform
    from airlock.steps.again import changed_since, transform_inputs

    again = transform_inputs(context.artifacts, candidate, sources.transform)
    tensors = transform.run(again, _inside(context, "transform")).tensors
    return tensors, Revision(
        candidate=inputs.manifest.digest,
        revised=sources.revised,
        tolerances=inputs.tolerances,
        tensors=tensors.digest,
        splits=_splits(context, tensors, candidate.tensors),
        changed=changed_since(candidate),
    )


def _trained(
    inputs: Inputs,
    context: StepContext,
    candidate: "CandidateManifest",
    network: Artifact,
    tensors: Artifact,
    revision: Revision,
) -> "tuple[train.Outputs, Revision]":
    from airlock.steps import train
    from airlock.steps.again import train_inputs

    again = train_inputs(context.artifacts, candidate, tensors, network, inputs.experiment)
    trained = train.run(again, _inside(context, "train"))
    assert trained is not None, "only a worker that is not the first one returns nothing"
    return trained, msgspec.structs.replace(
        revision,
        model=trained.model.digest,
        same_model=trained.model.digest == candidate.model.digest,
        difference=_difference(context, candidate, trained.model),
    )


def _data(context: StepContext, candidate: "CandidateManifest") -> Artifact:
    from airlock.governance.manifest import MEDIA_TYPE

    return Artifact(digest=candidate.data, size=len(context.artifacts.read(candidate.data)), media_type=MEDIA_TYPE)


def _inside(context: StepContext, name: str) -> StepContext:
    """The same task's context for a step within this one, with a working folder of its own."""
    folder = context.workdir / name
    folder.mkdir()
    inner = StepContext(context.settings, context.run, folder, context.worker)
    inner.metrics, inner.links = context.metrics, context.links
    return inner


def _splits(context: StepContext, tensors: Artifact, before: Artifact) -> list[SplitDifference]:
    from airlock.model.revision import split_difference
    from airlock.model.tensors import load_split

    now, earlier = context.fetch(tensors, "revised"), context.fetch(before, "candidate")
    return [split_difference(name, load_split(now, name), load_split(earlier, name)) for name in SPLITS]


def _difference(context: StepContext, candidate: "CandidateManifest", model: Artifact) -> ModelDifference:
    from airlock.model.revision import Asked, model_difference
    from airlock.model.storage import load_model
    from airlock.model.tensors import load_split

    split, before = (load_split(context.workdir / name, "validation") for name in ("revised", "candidate"))
    return model_difference(
        Asked(load_model(context.fetch(model, "revised.keras")), split.x),
        Asked(load_model(context.fetch(candidate.model, "candidate.keras")), before.x),
        split.y,
    )


def _require_equal(revision: Revision, context: StepContext) -> tuple[Artifact, Artifact]:
    """Store what was found so far; refuse what is not equal.

    :raises UserError: names figures and tolerances.
    """
    from airlock.model.revision_report import render

    stored = context.artifacts.put(msgspec.json.encode(revision), "application/json")
    report = context.artifacts.put(render(revision), "text/html")
    context.link("Report", report.digest)
    if (model := revision.difference) is not None:
        context.metric("answers_flipped", model.flips)
        context.metric("validation_accuracy_before", model.accuracy_before)
    if revision.misses:
        raise UserError(
            f"The revision is not equal to the candidate within tolerance: {'; '.join(revision.misses)}.",
            hint="Look at the report; correct the source, or have the change approved as a new candidate.",
        )
    return stored, report
