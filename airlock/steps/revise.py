"""Trains an approved candidate again from refactored source, with its own data, parameters and seed, and compares.

The transform is compared first, sample by sample: what makes other tensors is refused before anything is trained.
Then the models are compared by shape, weights and answers. The test samples are for the evaluate step, as ever.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import UserError
from airlock.governance.revisions import ModelDifference, Revision, SplitDifference, Tolerances
from airlock.references import Artifact, TrackingRun
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.governance.manifest import CandidateManifest

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
    from airlock.governance.manifest import MEDIA_TYPE, CandidateManifest, DataManifest, load
    from airlock.model.backend import load_keras
    from airlock.model.training import Schedule
    from airlock.steps import train, transform
    from airlock.steps.again import changed_since, train_inputs, transform_inputs

    candidate = load(context.artifacts, inputs.manifest.digest, CandidateManifest)
    code, network = inputs.transform_code or candidate.transform_code, inputs.network_code or candidate.network_code
    revised = _revised(candidate, code, network)
    load_keras(Schedule.of(candidate.parameters).backend)

    tensors = transform.run(transform_inputs(context.artifacts, candidate, code), _inside(context, "transform")).tensors
    revision = Revision(
        candidate=inputs.manifest.digest,
        revised=revised,
        tolerances=inputs.tolerances,
        tensors=tensors.digest,
        splits=_splits(context, tensors, candidate.tensors),
        changed=changed_since(candidate),
    )
    _require_equal(revision, context)

    again = train_inputs(context.artifacts, candidate, tensors, network, inputs.experiment)
    trained = train.run(again, _inside(context, "train"))
    revision = msgspec.structs.replace(
        revision,
        model=trained.model.digest,
        same_model=trained.model.digest == candidate.model.digest,
        difference=_difference(context, candidate, trained.model),
    )
    stored, report = _require_equal(revision, context)
    return Outputs(
        data=Artifact(digest=candidate.data, size=len(context.artifacts.read(candidate.data)), media_type=MEDIA_TYPE),
        classes=load(context.artifacts, candidate.data, DataManifest).classes,
        parameters=candidate.parameters,
        seed=candidate.seed,
        transform_code=code,
        network_code=network,
        tensors=tensors,
        model=trained.model,
        run=trained.run,
        revision=stored,
        report=report,
        verdict=revision.verdict,
    )


def _inside(context: StepContext, name: str) -> StepContext:
    """The same task's context for a step within this one, with a working folder of its own."""
    folder = context.workdir / name
    folder.mkdir()
    inner = StepContext(context.settings, context.run, folder, context.worker)
    inner.metrics, inner.links = context.metrics, context.links
    return inner


def _revised(candidate: "CandidateManifest", code: Artifact, network: Artifact) -> list[str]:
    pairs = {"transform": (code, candidate.transform_code), "network": (network, candidate.network_code)}
    revised = [name for name, (now, before) in pairs.items() if now.digest != before.digest]
    if not revised:
        raise UserError(
            "Nothing is revised: transform and network are the candidate's own, to the byte.",
            hint="Name other source in the run's configuration, or change it, and clear this task.",
        )
    return revised


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
