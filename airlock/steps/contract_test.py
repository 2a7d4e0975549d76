"""Checks a package's files, and loads it in the real server and tries every endpoint, before a release is asked for."""

import msgspec

from airlock.errors import UserError
from airlock.references import Artifact
from airlock.steps.context import StepContext

ENVIRONMENT = (
    "ai-edge-litert",
    "h5py",
    "httptools",
    "numpy",
    "onnxruntime",
    "packaging",
    "pillow",
    "python-multipart",
    "starlette",
    "uvicorn",
)


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param package: the package; ``manifest`` the release manifest that names it."""

    package: Artifact
    manifest: Artifact


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param report: JSON of :class:`airlock.deployment.report.Report`; ``checks`` is the number of checks."""

    report: Artifact
    checks: int


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Try the package; the report is stored and linked before a failure is raised."""
    from airlock.deployment.checking import check_package
    from airlock.deployment.child import PACKAGE, RELEASE
    from airlock.deployment.package import read_package

    context.fetch(inputs.manifest, RELEASE)
    package = read_package(context.fetch(_released(inputs, context), PACKAGE))
    report = check_package(package, inputs.manifest.digest, context.workdir)
    stored = context.artifacts.put(msgspec.json.format(msgspec.json.encode(report)), "application/json")
    context.link("Report", stored.digest)
    context.metric("start_seconds", report.start_seconds)
    context.metric("resident_bytes", report.resident_bytes)
    context.metric("slowest_seconds", report.slowest_seconds)
    context.progress(len(report.checks) - len(report.failed), len(report.checks), "check")
    report.require_kept()
    return Outputs(report=stored, checks=len(report.checks))


def _released(inputs: Inputs, context: StepContext) -> Artifact:
    from airlock.governance.manifest import ReleaseManifest, load

    release = load(context.artifacts, inputs.manifest.digest, ReleaseManifest)
    if release.package.digest != inputs.package.digest:
        raise UserError(
            "The release manifest names another package than the one to be tested.",
            hint="Pass package and manifest of the same package task.",
        )
    return release.package
