"""Serves an approved release: verifies the decision, states what is wanted, waits until the endpoint names it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from airlock.errors import UserError
from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.deployment.rollout import Rollout
    from airlock.governance.manifest import ReleaseManifest

ENVIRONMENT = ()


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param manifest: the release manifest.
    :param gate: the gate whose approval is required.
    :param timeout: seconds until the endpoint must answer.
    """

    use_case: str
    manifest: Artifact
    gate: str
    timeout: float = 120.0


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param endpoint: URL below which ``/predict`` and ``/v2`` lie.
    :param generation: number of the deployment.
    :param changed: whether this try changed what serves.
    """

    endpoint: str
    manifest_digest: str
    generation: int
    changed: bool


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Deploy; what already serves is left alone."""
    from airlock.deployment.rollout import record_once, roll_out, serves
    from airlock.stores.deployments import Deployments
    from airlock.stores.ledger import Ledger
    from airlock.stores.queue import DEPLOYED, PromotionQueue

    release = _verified(inputs, context)
    rollout = _approved(inputs, context)
    context.link("Manifest", rollout.manifest)
    context.link("Endpoint", rollout.endpoint)
    deployments = Deployments(context.database)
    served = serves(rollout, deployments)
    if served:
        context.progress(1, 1, "deployment, already serving")
    deployment = served or roll_out(rollout, deployments, inputs.timeout, _say(context))
    record_once(rollout, deployment, Ledger(context.database))
    PromotionQueue(context.database).finish(context.run.dag, context.run.run, DEPLOYED)
    _crown(release, context)
    return Outputs(
        endpoint=rollout.endpoint,
        manifest_digest=rollout.manifest,
        generation=deployment.generation,
        changed=served is None,
    )


def _verified(inputs: Inputs, context: StepContext) -> "ReleaseManifest":
    """Recompute the digests of the manifest and of every file of the package."""
    from airlock.governance.manifest import ReleaseManifest, load

    release = load(context.artifacts, inputs.manifest.digest, ReleaseManifest)
    if release.use_case != inputs.use_case:
        raise UserError(
            f"The release belongs to {release.use_case!r}, not to {inputs.use_case!r}.",
            hint="Deploy it in its own use case's DAG.",
        )
    context.artifacts.verify(release.package)
    return release


def _approved(inputs: Inputs, context: StepContext) -> "Rollout":
    from airlock.deployment.rollout import Rollout
    from airlock.governance.approval import require_approval
    from airlock.stores.ledger import Ledger
    from airlock.stores.queue import PromotionQueue

    digest, keys = inputs.manifest.digest, context.settings.public_keys
    record = require_approval(Ledger(context.database), digest, inputs.gate, keys, inputs.use_case)
    endpoint = f"{context.settings.serving.rstrip('/')}/{inputs.use_case}"
    item = PromotionQueue(context.database).of_run(context.run.dag, context.run.run)
    return Rollout(
        use_case=inputs.use_case,
        manifest=digest,
        decision=record.hash,
        endpoint=endpoint,
        position=item.id if item else None,
    )


def _crown(release: "ReleaseManifest", context: StepContext) -> None:
    """Mirror in the model registry what serves now; nothing is decided by it."""
    from airlock.governance.manifest import CandidateManifest, load
    from airlock.model.registry import CHAMPION, move_alias

    version = load(context.artifacts, release.candidate, CandidateManifest).version
    move_alias(context.settings.tracking, version.name, version.version, CHAMPION)


def _say(context: StepContext) -> Callable[[str, float], None]:
    def say(state: str, seconds: float) -> None:
        context.progress(int(state == "ready"), 1, f"deployment, {state}", seconds=seconds)

    return say
