"""Tie dataset version, label set, split and report into the manifest that the data gate approves."""

from typing import Any

import msgspec

from airlock.references import Artifact, DatasetVersion, LabelSet
from airlock.steps.context import StepContext

ENVIRONMENT = ("pyarrow", "pylance")
SEALED = True


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the manifest names.

    :param classes: in the order that numbers them for a model.
    :param dropped: the record of dropped samples.
    :param counts: samples in each split.
    :param process: what made this data, kept in the manifest.
    :param labelling: figures of what people were asked; ``label_report`` the same as a page.
    """

    use_case: str
    classes: list[str]
    dataset: DatasetVersion
    labels: LabelSet
    split: Artifact
    report: Artifact
    dropped: Artifact
    counts: dict[str, int]
    process: dict[str, Any] = {}
    labelling: Artifact | None = None
    label_report: Artifact | None = None


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param manifest: canonical JSON; its digest is what the gate approves."""

    manifest: Artifact


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Write the index of samples and labels, and the manifest that names it."""
    from airlock.data.metadata import check_match
    from airlock.governance.manifest import DataManifest, put

    check_match(inputs.dataset, inputs.labels)
    given = {name: getattr(inputs, name) for name in inputs.__struct_fields__}
    stored = put(context.artifacts, DataManifest(**given, index=_index(inputs, context)))
    context.link("Manifest", stored.digest)
    return Outputs(manifest=stored)


def _index(inputs: Inputs, context: StepContext) -> Artifact:
    """Which samples and labels: what tells two data manifests apart where no Lance table can be read."""
    from airlock.governance.comparison.index import index_of
    from airlock.stores.labels import LabelStore

    labels = LabelStore(context.database).read(inputs.labels)
    index = index_of(context.datasets.digests(inputs.dataset), labels)
    return context.artifacts.put(msgspec.json.encode(index), "application/json")
