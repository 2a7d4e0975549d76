"""Packages an approved candidate: one folder that can be served anywhere, and the release manifest that names it."""

from typing import TYPE_CHECKING

import msgspec

from airlock.errors import UserError
from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.deployment.package import Package
    from airlock.governance.evaluations import Compression
    from airlock.governance.manifest import CandidateManifest

ENVIRONMENT = ("ai-edge-litert", "numpy", "pillow", "pyarrow", "pylance")
SEALED = True  # a package shows one test sample of each class


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param manifest: the candidate manifest.
    :param model: the ``.tflite`` file to serve; ``comparison`` its figures against the original.
    :param licence: text of the licence of code and sample data.
    :param licences: their SPDX names, ``{"code": …, "data": …}``.
    """

    manifest: Artifact
    model: Artifact
    comparison: Artifact
    use_case: str
    licence: Artifact | None = None
    licences: dict[str, str] = {}


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param package: the folder; ``manifest`` the release manifest, whose digest is what people approve."""

    package: Artifact
    manifest: Artifact


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Build the package, check that it prepares images as training did, store it and its release manifest."""
    from airlock.governance.evaluations import Compression
    from airlock.governance.manifest import CandidateManifest, ReleaseManifest, load, put

    store = context.artifacts
    candidate = load(store, inputs.manifest.digest, CandidateManifest)
    comparison = msgspec.json.decode(store.read(inputs.comparison.digest), type=Compression)
    _require_match(inputs, candidate, comparison)
    package = _build(inputs, candidate, context)
    tree = store.put_tree(package.write(context.workdir / "package"))
    release = ReleaseManifest(
        use_case=candidate.use_case,
        classes=candidate.classes,
        candidate=inputs.manifest.digest,
        package=tree,
        model=inputs.model,
        comparison=inputs.comparison,
        metrics=_metrics(comparison),
    )
    manifest = put(store, release)
    context.link("Manifest", manifest.digest)
    context.metric("package_bytes", tree.size)
    return Outputs(package=tree, manifest=manifest)


def _build(inputs: Inputs, candidate: "CandidateManifest", context: StepContext) -> "Package":
    from airlock.deployment import packaging
    from airlock.deployment.building import Parts, build_package
    from airlock.deployment.config import Licences
    from airlock.steps.held_out import test_split

    store = context.artifacts
    test = test_split(context, candidate.tensors)
    chosen = packaging.choose(test, candidate.classes)
    context.progress(1, 3, "part")
    licences = msgspec.convert(inputs.licences, Licences)
    parts = Parts(
        config=packaging.config_of(candidate, inputs.manifest.digest, test.x.shape[1:], licences),
        model=store.read(inputs.model.digest),
        preprocessing=store.read(candidate.transform_code.digest),
        licence=store.read(inputs.licence.digest) if inputs.licence else packaging.NO_LICENCE,
        samples=packaging.images_of(context.datasets, candidate, chosen),
    )
    context.progress(2, 3, "part")
    package = build_package(parts)
    packaging.require_same_tensors(package, chosen)
    context.progress(3, 3, "part")
    return package


def _require_match(inputs: Inputs, candidate: "CandidateManifest", comparison: "Compression") -> None:
    if candidate.use_case != inputs.use_case:
        raise UserError(
            f"The candidate belongs to {candidate.use_case!r}, not to {inputs.use_case!r}.",
            hint="Package it in its own use case's DAG.",
        )
    if comparison.compressed.bytes != inputs.model.size:
        raise UserError(
            f"The comparison is about {comparison.compressed.bytes} bytes, the model has {inputs.model.size}.",
            hint="Pass model and comparison of the same compress task.",
        )


def _metrics(comparison: "Compression") -> dict[str, float]:
    measured = msgspec.to_builtins(comparison.compressed)
    return {**measured, "points_lost": comparison.points_lost, "ratio": comparison.ratio}
