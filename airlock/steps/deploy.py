"""Serves an approved release: verifies the decision, states what is wanted, waits until the endpoint names it."""

from collections.abc import Callable

import msgspec

from airlock.references import Artifact
from airlock.steps.context import StepContext

ENVIRONMENT = ()


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param manifest: the release manifest.
    :param gate: the gate whose approval is required.
    :param target: ``local``, ``staging``, or one that the reconciler's configuration names.
    :param after: the generation that a canary left; whatever was deployed since is not replaced.
    :param timeout: seconds until the endpoint must answer.
    """

    use_case: str
    manifest: Artifact
    gate: str
    target: str = "local"
    after: int | None = None
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
    from airlock.steps.releasing import approved, verified
    from airlock.stores.deployments import STAGING, Deployments
    from airlock.stores.ledger import Ledger

    release = verified(inputs.use_case, inputs.manifest.digest, context)
    rollout = approved(inputs.use_case, inputs.manifest.digest, inputs.gate, inputs.target, context)
    context.link("Manifest", rollout.manifest)
    context.link("Endpoint", rollout.endpoint)
    deployments = Deployments(context.database)
    served = serves(rollout, deployments)
    if served:
        context.progress(1, 1, "deployment, already serving")
    deployment = served or roll_out(rollout, deployments, inputs.timeout, said_by(context), inputs.after)
    record_once(rollout, deployment, Ledger(context.database))
    if inputs.target != STAGING:
        _finish(inputs.use_case, release.candidate, context)
    return Outputs(
        endpoint=rollout.endpoint,
        manifest_digest=rollout.manifest,
        generation=deployment.generation,
        changed=served is None,
    )


def _finish(use_case: str, candidate: str, context: StepContext) -> None:
    """The queue's item is done, staging is free, and the model registry mirrors what serves."""
    from airlock.deployment.rollout import leave_staging
    from airlock.model.registry import crown
    from airlock.stores.deployments import Deployments
    from airlock.stores.queue import DEPLOYED, PromotionQueue

    PromotionQueue(context.database).finish(context.run.dag, context.run.run, DEPLOYED)
    leave_staging(use_case, Deployments(context.database))
    crown(context.settings.tracking, context.artifacts, candidate)


def said_by(context: StepContext) -> Callable[[str, float], None]:
    """Return what shows a deployment's states as the step's progress."""

    def say(state: str, seconds: float) -> None:
        context.progress(int(state == "ready"), 1, f"deployment, {state}", seconds=seconds)

    return say
