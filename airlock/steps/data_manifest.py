"""Tie dataset version, label set, split and report into the manifest that the data gate approves."""

from typing import Any

import msgspec

from airlock.references import Artifact, DatasetVersion, LabelSet
from airlock.steps.context import StepContext

ENVIRONMENT = ()


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the manifest names.

    :param classes: in the order that numbers them for a model.
    :param dropped: the record of dropped samples.
    :param counts: samples in each split.
    :param process: what made this data, kept in the manifest.
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


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param manifest: canonical JSON; its digest is what the gate approves."""

    manifest: Artifact


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Write the manifest."""
    from airlock.data.metadata import check_match
    from airlock.governance.manifest import DataManifest, put

    check_match(inputs.dataset, inputs.labels)
    manifest = DataManifest(**{name: getattr(inputs, name) for name in inputs.__struct_fields__})
    stored = put(context.artifacts, manifest)
    context.link("Manifest", stored.digest)
    return Outputs(manifest=stored)
