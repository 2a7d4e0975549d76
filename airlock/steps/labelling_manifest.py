"""Tie the chosen samples and the question about them into the manifest that the labelling gate releases."""

import msgspec

from airlock.errors import UserError
from airlock.references import Artifact, DatasetVersion
from airlock.steps.context import StepContext

ENVIRONMENT = ()
KINDS = ("image", "text")


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the manifest names.

    :param kind: ``image`` or ``text``: the label config is made from the classes, unless one is given.
    :param config: label config, XML, that somebody wrote.
    :param overlap: different people asked about each sample.
    """

    use_case: str
    classes: list[str]
    dataset: DatasetVersion
    batch: Artifact
    kind: str = "image"
    config: Artifact | None = None
    overlap: int = 2
    instructions: str = ""
    strategy: str = ""


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param manifest: canonical JSON; its digest is what the gate releases."""

    manifest: Artifact


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Check the label config and write the manifest.

    :raises UserError: the config is no classification into the classes, or nobody is asked.
    """
    from airlock.governance.manifest import LabellingManifest, put
    from airlock.labeling.tasks import decode_chosen

    if inputs.overlap < 1:
        raise UserError(f"An overlap of {inputs.overlap} asks nobody.", hint="Ask 1 person or more.")
    manifest = LabellingManifest(
        use_case=inputs.use_case,
        classes=inputs.classes,
        dataset=inputs.dataset,
        batch=inputs.batch,
        samples=len(decode_chosen(context.artifacts.read(inputs.batch.digest))),
        config=context.artifacts.put(_config(inputs, context).encode(), "application/xml"),
        overlap=inputs.overlap,
        instructions=inputs.instructions,
        strategy=inputs.strategy,
    )
    stored = put(context.artifacts, manifest)
    context.link("Manifest", stored.digest)
    return Outputs(manifest=stored)


def _config(inputs: Inputs, context: StepContext) -> str:
    from airlock.labeling.config import classification, read_config

    if inputs.config is not None:
        return read_config(context.artifacts.read(inputs.config.digest).decode(), inputs.classes).xml
    if inputs.kind not in KINDS:
        raise UserError(f"There is no label config for {inputs.kind!r}.", hint=f"Kinds: {', '.join(KINDS)}.")
    return classification(inputs.kind, inputs.classes).xml  # type: ignore[arg-type]  # checked above
