"""Asks the live endpoint for the package's own samples, compares, and measures how long an answer takes."""

import msgspec

from airlock.references import Artifact
from airlock.steps.context import StepContext

ENVIRONMENT = ()


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param endpoint: URL of the deployed model.
    :param manifest: the release manifest that every answer must name.
    :param requests: how many are timed.
    """

    endpoint: str
    manifest: Artifact
    requests: int = 200


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param report: JSON of :class:`airlock.deployment.smoke.Report`.
    :param p50_ms: median time of one request, over HTTP; ``p99_ms`` likewise.
    :param prediction: the first sample's predicted class.
    """

    report: Artifact
    p50_ms: float
    p99_ms: float
    prediction: str


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Ask, compare, measure; the report is stored and linked before a failure is raised."""
    from airlock.deployment.package import read_package
    from airlock.deployment.smoke import smoke
    from airlock.governance.manifest import ReleaseManifest, load

    release = load(context.artifacts, inputs.manifest.digest, ReleaseManifest)
    package = read_package(context.fetch(release.package, "package"))
    context.link("Endpoint", inputs.endpoint)
    report = smoke(inputs.endpoint, package, inputs.manifest.digest, inputs.requests)
    stored = context.artifacts.put(msgspec.json.format(msgspec.json.encode(report)), "application/json")
    context.link("Report", stored.digest)
    context.metric("p50_ms", report.p50_ms)
    context.metric("p99_ms", report.p99_ms)
    context.progress(report.requests, report.requests, "request", p50_ms=report.p50_ms, p99_ms=report.p99_ms)
    report.require_same()
    return Outputs(report=stored, p50_ms=report.p50_ms, p99_ms=report.p99_ms, prediction=report.answers[0].predicted)
