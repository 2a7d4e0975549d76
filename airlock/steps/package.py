"""Packages an approved candidate: one folder that can be served anywhere, and the release manifest that names it."""

from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import UserError
from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.deployment.package import Package
    from airlock.deployment.packaging import Said
    from airlock.governance.evaluations import Compression
    from airlock.governance.manifest import CandidateManifest

ENVIRONMENT = ("ai-edge-litert", "numpy", "onnxruntime", "pillow", "pyarrow", "pylance")
SEALED = True  # a package shows one test sample of each class


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param manifest: the candidate manifest.
    :param model: the model file to serve; ``comparison`` its figures against the original.
    :param original: the model before it was made smaller; on the samples no output may differ from its by more than
        ``max_difference``.
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
    original: Artifact | None = None
    max_difference: float = 0.5
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
    from airlock.governance.evaluations import Compression
    from airlock.governance.manifest import CandidateManifest, ReleaseManifest, load, put

    store = context.artifacts
    candidate = load(store, inputs.manifest.digest, CandidateManifest)
    comparison = msgspec.json.decode(store.read(inputs.comparison.digest), type=Compression)
    _require_match(inputs, candidate, comparison)
    metrics = _metrics(comparison)
    package = _build(inputs, candidate, metrics, context)
    if inputs.original:
        metrics |= _compared(package, context.artifacts.read(inputs.original.digest), inputs.max_difference)
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


def _compared(package: "Package", original: bytes, most: float) -> dict[str, float]:
    from airlock.deployment.packaging import require_same_answers

    found = require_same_answers(package, original, most)
    return {"difference": found.difference, "labels_changed": float(found.labels_changed)}


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
