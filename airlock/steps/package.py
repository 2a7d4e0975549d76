"""Packages an approved candidate: one folder that can be served anywhere, and the release manifest that names it."""

from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import UserError
from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.deployment.package import Package
    from airlock.deployment.packaging import Said
    from airlock.governance.manifest import CandidateManifest
    from airlock.model.measurement import Comparison

ENVIRONMENT = ("ai-edge-litert", "numpy", "pillow", "pyarrow", "pylance")
SEALED = True  # a package shows one test sample of each class


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param manifest: the candidate manifest.
    :param model: the model file to serve; ``comparison`` its figures against the original.
    :param licence: text of the licence of code and sample data.
    :param licences: their SPDX expressions, ``{"code": …, "data": …}``.
    :param outputs: what is answered, see :mod:`airlock.deployment.outputs`; by default the classes' probabilities.
    :param limits: fields of :class:`airlock.deployment.config.Limits`.
    :param postprocessing: code file with ``postprocess(outputs, **postprocessing_parameters)``.
    """

    manifest: Artifact
    model: Artifact
    comparison: Artifact
    use_case: str
    licence: Artifact | None = None
    licences: dict[str, str] = {}
    outputs: list[dict[str, Any]] = []
    limits: dict[str, Any] = {}
    postprocessing: Artifact | None = None
    postprocessing_parameters: dict[str, Any] = {}


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param package: the folder; ``manifest`` the release manifest, whose digest is what people approve."""

    package: Artifact
    manifest: Artifact


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Build the package, check that it prepares images as training did, store it and its release manifest."""
    from airlock.governance.manifest import CandidateManifest, ReleaseManifest, load, put
    from airlock.model.measurement import Comparison

    store = context.artifacts
    candidate = load(store, inputs.manifest.digest, CandidateManifest)
    comparison = msgspec.json.decode(store.read(inputs.comparison.digest), type=Comparison)
    _require_match(inputs, candidate, comparison)
    metrics = _metrics(comparison)
    package = _build(inputs, candidate, metrics, context)
    tree = store.put_tree(package.write(context.workdir / "package"))
    release = ReleaseManifest(
        use_case=candidate.use_case,
        classes=candidate.classes,
        candidate=inputs.manifest.digest,
        package=tree,
        model=inputs.model,
        comparison=inputs.comparison,
        metrics=metrics,
    )
    manifest = put(store, release)
    context.link("Manifest", manifest.digest)
    context.metric("package_bytes", tree.size)
    return Outputs(package=tree, manifest=manifest)


def _build(
    inputs: Inputs, candidate: "CandidateManifest", metrics: dict[str, float], context: StepContext
) -> "Package":
    from airlock.deployment import packaging
    from airlock.deployment.building import Parts, build_package
    from airlock.model.preprocessing import Preprocessor
    from airlock.model.runtimes import engine_of
    from airlock.steps.held_out import test_split

    store = context.artifacts
    test = test_split(context, candidate.tensors)
    chosen = packaging.choose(test, candidate.classes)
    context.progress(1, 3, "part")
    transform = context.fetch(candidate.transform_code, "transform.py")
    kind = Preprocessor(transform).input
    expected = packaging.input_of(candidate, transform.read_bytes(), kind, test.x)
    engine = engine_of(context.fetch(inputs.model, "model"))
    said = _said(inputs, context)
    code = {packaging.PREPROCESSING: transform.read_bytes()}
    parts = Parts(
        config=packaging.config_of(candidate, inputs.manifest.digest, engine, said, expected, metrics),
        model=store.read(inputs.model.digest),
        code=code | ({packaging.POSTPROCESSING: said.postprocessing} if said.postprocessing else {}),
        licence=store.read(inputs.licence.digest) if inputs.licence else packaging.NO_LICENCE,
        samples=packaging.contents_of(context.datasets, candidate, chosen, expected.name),
    )
    context.progress(2, 3, "part")
    package = build_package(parts)
    packaging.require_same_tensors(package, chosen)
    context.progress(3, 3, "part")
    return package


def _said(inputs: Inputs, context: StepContext) -> "Said":
    from airlock.deployment.packaging import Said

    after = inputs.postprocessing
    return msgspec.convert(
        {
            "licences": inputs.licences,
            "outputs": inputs.outputs,
            "limits": inputs.limits,
            "postprocessing_parameters": inputs.postprocessing_parameters,
            "postprocessing": context.artifacts.read(after.digest) if after else None,
        },
        Said,
    )


def _require_match(inputs: Inputs, candidate: "CandidateManifest", comparison: "Comparison") -> None:
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


def _metrics(comparison: "Comparison") -> dict[str, float]:
    measured = msgspec.to_builtins(comparison.compressed)
    return {**measured, "points_lost": comparison.points_lost, "ratio": comparison.ratio}
