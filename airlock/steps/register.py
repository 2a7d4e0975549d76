"""Registers a candidate: a version in MLflow, and the manifest that ties everything it was made from together."""

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from airlock.errors import UserError
from airlock.references import Artifact, ModelVersion, TrackingRun
from airlock.steps.card import carded
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.governance.evaluations import Evaluation
    from airlock.governance.manifest import CandidateManifest
    from airlock.model.registry import RunFacts

ENVIRONMENT = ("mlflow",)
SEALED = True
RENAMED = ("data", "card", "revises")  # in the manifest these are digests, or called otherwise


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param use_case: also the registered model's name.
    :param data: the approved data manifest.
    :param report: the evaluation as a page.
    :param card: what the use case says for the model card, :class:`airlock.model.card.CardFacts`.
    :param search: :class:`airlock.governance.searches.SearchSummary` as JSON, ``search_report`` the same as a page.
    :param code: state of the code repository: commit, and digest of what is not committed.
    :param revises: the manifest of the candidate whose place this one takes; ``revision`` how equal they are, as the
        revise step says, ``revision_report`` the same as a page.
    """

    use_case: str
    data: Artifact
    tensors: Artifact
    model: Artifact
    run: TrackingRun
    evaluation: Artifact
    picture: Artifact
    transform_code: Artifact
    network_code: Artifact
    parameters: dict[str, Any] = {}
    seed: int = 0
    report: Artifact | None = None
    card: dict[str, Any] = {}
    search: Artifact | None = None
    search_report: Artifact | None = None
    difference: Artifact | None = None
    code: dict[str, str] = {}
    revises: Artifact | None = None
    revision: Artifact | None = None
    revision_report: Artifact | None = None


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param manifest: the candidate manifest; its digest is what people approve.
    :param version: the version in MLflow, which now is the ``challenger``.
    """

    manifest: Artifact
    version: ModelVersion


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Register the version first, then store the manifest that names it, then tag the version with the manifest."""
    from airlock.governance.manifest import put
    from airlock.model.names import MANIFEST
    from airlock.model.registry import CHALLENGER, Registry
    from airlock.steps.revision import revised_candidate

    evaluation = _evaluation(inputs, context)
    original = revised_candidate(inputs, evaluation, context)
    registry = Registry(context.settings.tracking)
    facts = registry.run_facts(inputs.run)
    context.link("MLflow run", facts.url)
    _require_trained_so(inputs, facts)
    version = registry.create_version(inputs.use_case, inputs.run, inputs.model.digest)
    candidate = _candidate(inputs, context, evaluation, facts, version)
    if original is not None:  # its parameters are those that were searched for then
        candidate = replace(candidate, search=original.search, search_report=original.search_report)
    candidate, card = carded(candidate, evaluation, context)
    manifest = put(context.artifacts, candidate)
    registry.tag_version(version, {MANIFEST: manifest.digest} | _revises(candidate))
    registry.tag_run(inputs.run, _tags(candidate) | {MANIFEST: manifest.digest})
    registry.describe_version(version, card)
    registry.set_alias(version, CHALLENGER)
    context.link("Manifest", manifest.digest)
    context.link("MLflow model", registry.version_url(version))
    for name, value in candidate.metrics.items():
        context.metric(name, value)
    return Outputs(manifest=manifest, version=version)


def _evaluation(inputs: Inputs, context: StepContext) -> "Evaluation":
    from airlock.governance.evaluations import Evaluation

    try:
        evaluation = msgspec.json.decode(context.artifacts.read(inputs.evaluation.digest), type=Evaluation)
    except msgspec.MsgspecError as error:
        raise UserError(f"The evaluation is not valid: {error}.", hint="Pass what the evaluate step wrote.") from error
    for name, evaluated, given in (
        ("model", evaluation.model, inputs.model.digest),
        ("tensors", evaluation.tensors, inputs.tensors.digest),
    ):
        if evaluated != given:
            raise UserError(
                f"The evaluation is of the {name} {evaluated}, not {given}.",
                hint="Evaluate this candidate's own model.",
            )
    return evaluation


def _require_trained_so(inputs: Inputs, facts: "RunFacts") -> None:
    """The manifest says what the run was trained with, not what the DAG says by the time it registers."""
    from airlock.model import names

    given = inputs.parameters | {"seed": inputs.seed}
    said = {names.parameter_name(name): str(value) for name, value in given.items()}
    said |= {"network_code": inputs.network_code.digest, "tensors": inputs.tensors.digest}
    done = facts.parameters | {"network_code": facts.tags.get(names.NETWORK, "")}
    done |= {"tensors": facts.tags.get(names.TENSORS, "")}
    for name in sorted(said.keys() | done.keys()):
        if said.get(name) != done.get(name):
            raise UserError(
                f"The run {inputs.run.run_id} was trained with {name} {done.get(name)}, not {said.get(name)}.",
                hint="Clear the train task: what is registered is what was trained.",
            )


def _candidate(
    inputs: Inputs, context: StepContext, evaluation: "Evaluation", facts: "RunFacts", version: ModelVersion
) -> "CandidateManifest":
    from airlock.governance.manifest import CandidateManifest, DataManifest, load
    from airlock.model.names import ENVIRONMENT as TRAINED_WITH
    from airlock.model.names import LOCK, PARENT
    from airlock.steps.source import source_digest

    data = load(context.artifacts, inputs.data.digest, DataManifest)
    if list(evaluation.per_class) != data.classes:
        raise UserError(
            f"The model was evaluated with the classes {list(evaluation.per_class)}, the data has {data.classes}.",
            hint="Train and evaluate with the data manifest's classes, in its order.",
        )
    given = {name: getattr(inputs, name) for name in Inputs.__struct_fields__ if name not in RENAMED}
    return CandidateManifest(
        **given
        | {
            "classes": data.classes,
            "data": inputs.data.digest,
            "revises": inputs.revises.digest if inputs.revises else "",
            "dataset": data.dataset,
            "labels": data.labels,
            "version": version,
            "metrics": {"accuracy": evaluation.accuracy, "macro_f1": evaluation.macro_f1},
            "environment": msgspec.json.decode(facts.tags[TRAINED_WITH], type=dict[str, str]),
            "environment_lock": _stored(facts.tags, LOCK, context),
            "card_facts": inputs.card,
            "transform_parameters": _transform_parameters(inputs, context),
            "sources": {step: source_digest(step) for step in ("transform", "train", "evaluate", "register")},
            "parents": [facts.tags[PARENT]] if PARENT in facts.tags else [],
        }
    )


def _stored(tags: dict[str, str], name: str, context: StepContext) -> Artifact | None:
    """An artifact that a run's tag names by digest."""
    digest = tags.get(name)
    return (
        Artifact(digest=digest, size=len(context.artifacts.read(digest)), media_type="text/plain") if digest else None
    )


def _transform_parameters(inputs: Inputs, context: StepContext) -> dict[str, Any]:
    from airlock.model.tensors import stored_origin

    if "origin.json" not in context.artifacts.listing(inputs.tensors):
        return {}
    return stored_origin(context.artifacts, inputs.tensors).parameters


def _tags(candidate: "CandidateManifest") -> dict[str, str]:
    from airlock.model.names import DATA_MANIFEST, DATASET

    return {DATA_MANIFEST: candidate.data, DATASET: candidate.dataset.digest} | _revises(candidate)


def _revises(candidate: "CandidateManifest") -> dict[str, str]:
    from airlock.model.names import REVISES

    return {REVISES: candidate.revises} if candidate.revises else {}
