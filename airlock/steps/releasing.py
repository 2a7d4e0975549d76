"""What every step that puts a release before people does first: recompute its digests, verify its approval."""

from typing import TYPE_CHECKING

from airlock.errors import UserError
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.deployment.rollout import Rollout
    from airlock.governance.manifest import ReleaseManifest


def verified(use_case: str, digest: str, context: StepContext) -> "ReleaseManifest":
    """Return the release manifest; the digests of the manifest and of every file of the package were recomputed."""
    from airlock.governance.manifest import ReleaseManifest, load

    release = load(context.artifacts, digest, ReleaseManifest)
    if release.use_case != use_case:
        raise UserError(
            f"The release belongs to {release.use_case!r}, not to {use_case!r}.",
            hint="Deploy it in its own use case's DAG.",
        )
    context.artifacts.verify(release.package)
    return release


def approved(use_case: str, digest: str, gate: str, target: str, context: StepContext) -> "Rollout":
    """Return the release on its way to a target.

    :raises NotApproved: nobody in the right role approved exactly this at the gate.
    """
    from airlock.deployment.place import name_at
    from airlock.deployment.rollout import Rollout
    from airlock.governance.approval import require_approval
    from airlock.stores.ledger import Ledger
    from airlock.stores.queue import PromotionQueue

    record = require_approval(Ledger(context.database), digest, gate, context.settings.public_keys, use_case)
    item = PromotionQueue(context.database).of_run(context.run.dag, context.run.run)
    return Rollout(
        use_case=use_case,
        manifest=digest,
        decision=record.hash,
        endpoint=f"{context.settings.serving.rstrip('/')}/{name_at(use_case, target)}",
        target=target,
        position=item.id if item else None,
    )
