"""Hand an approved batch to labelers: verifies the decision, then brings the project to hold exactly these samples."""

from typing import TYPE_CHECKING

import msgspec

from airlock.errors import UserError
from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.governance.manifest import LabellingManifest
    from airlock.labeling.handoff import HandOff
    from airlock.labeling.studio import Studio

ENVIRONMENT = ("label-studio-sdk", "pyarrow", "pylance")
SEALED = True  # labelers see the samples; no code of a use case runs here
JSON = "application/json"
HOOK = "airlock/labelling/hook"
GATE = "labelling"  # no DAG author names another one


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param manifest: the labelling manifest."""

    use_case: str
    manifest: Artifact


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What labelers have now.

    :param handoff: :class:`~airlock.labeling.handoff.HandOff` as JSON.
    :param created: tasks that were not there; ``already`` those that were.
    """

    handoff: Artifact
    project: int
    url: str
    tasks: int
    created: int
    already: int


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Push what is missing; a second push makes no task.

    :raises NotApproved: nobody released exactly this batch with this question to labelers.
    """
    from airlock.labeling.handoff import HandOff

    manifest = _verified(inputs, context)
    studio = open_studio(context)
    handoff = HandOff(
        use_case=manifest.use_case,
        purpose="labelling",
        manifest=inputs.manifest.digest,
        dataset=manifest.dataset,
        classes=manifest.classes,
        samples=manifest.batch,
        config=context.artifacts.read(manifest.config.digest).decode(),
        overlap=manifest.overlap,
        tasks=manifest.samples,
        project=0,
        server=studio.url,
    )
    return deliver(handoff, studio, manifest.instructions, context)


def _verified(inputs: Inputs, context: StepContext) -> "LabellingManifest":
    from airlock.governance.approval import require_approval
    from airlock.governance.manifest import LabellingManifest, load
    from airlock.stores.ledger import Ledger

    manifest = load(context.artifacts, inputs.manifest.digest, LabellingManifest)
    if manifest.use_case != inputs.use_case:
        raise UserError(
            f"The batch belongs to {manifest.use_case!r}, not to {inputs.use_case!r}.",
            hint="Hand it off in its own use case's DAG.",
        )
    digest, keys = inputs.manifest.digest, context.settings.public_keys
    require_approval(Ledger(context.database), digest, GATE, keys, inputs.use_case)
    context.link("Manifest", digest)
    return manifest


def open_studio(context: StepContext) -> "Studio":
    """Return the server that the settings name.

    :raises UserError: they name none.
    """
    from airlock.labeling.studio import Studio

    return Studio(context.settings.label_studio, context.settings.label_studio_token)


def deliver(handoff: "HandOff", studio: "Studio", instructions: str, context: StepContext) -> Outputs:
    """Bring the project of a hand-off to hold its samples, and store what was handed off."""
    from msgspec.structs import replace

    from airlock.digests import digest_document
    from airlock.labeling.config import read_config
    from airlock.labeling.handoff import push, title_of
    from airlock.labeling.tasks import Shown, contents, decode_chosen, task_of
    from airlock.stores.labels import LabelStore

    name = digest_document(msgspec.to_builtins(handoff))
    config = read_config(handoff.config, handoff.classes)
    chosen = {item.sample_id: item for item in decode_chosen(context.artifacts.read(handoff.samples.digest))}
    shown = Shown(context.sealed)
    pairs = contents(context.datasets, handoff.dataset, list(chosen))
    tasks = (task_of(chosen[sample_id], content, config, shown) for sample_id, content in pairs)
    project = {
        "title": title_of(handoff.use_case, name),
        "overlap": handoff.overlap,
        "description": f"{handoff.purpose} of {handoff.dataset.name} for {handoff.use_case}. Airlock hand-off {name}.",
        "instructions": instructions,
    }
    pushed = push(studio, LabelStore(context.database), name, project, config, tasks)
    if context.settings.label_studio_secret:
        address = f"{context.settings.airflow.rstrip('/')}/{HOOK}"
        studio.wake_by(pushed.project, address, context.settings.label_studio_secret)
    handoff = replace(handoff, project=pushed.project)
    context.link("Labelling project", handoff.url)
    for figure in ("created", "already"):
        context.metric(figure, getattr(pushed, figure))
    return Outputs(
        handoff=context.artifacts.put(msgspec.json.encode(handoff), JSON),
        project=pushed.project,
        url=handoff.url,
        tasks=handoff.tasks,
        created=pushed.created,
        already=pushed.already,
    )
