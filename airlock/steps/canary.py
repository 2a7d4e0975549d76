"""Lets an approved release answer a growing share of the requests, and rolls it back by itself when it is worse."""

from typing import TYPE_CHECKING, Any

import msgspec

from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.deployment.canary import Traffic
    from airlock.governance.manifest import ReleaseManifest

ENVIRONMENT = ()
BURST = 25


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param manifest: the release manifest.
    :param gate: the gate whose approval is required.
    :param rollout: fields of :class:`airlock.deployment.plan.Plan`.
    :param target: where it is served.
    """

    use_case: str
    manifest: Artifact
    gate: str
    rollout: dict[str, Any] = {}
    target: str = "local"


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param generation: what the canary left, for whoever promotes it; ``None`` when nothing was ever wanted here.
    :param report: its figures beside the champion's, JSON.
    :param share: of the predictions that it answered, counted by the servers.
    """

    generation: int | None
    report: Artifact
    share: float


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Step through the shares; where nothing serves yet there is nothing to compare with, and it is over at once."""
    from airlock.deployment.canary import Canary, RolledBack
    from airlock.deployment.plan import read_plan
    from airlock.deployment.rollout import leave_staging
    from airlock.steps.deploy import said_by
    from airlock.steps.releasing import approved, verified
    from airlock.stores.deployments import Deployments
    from airlock.stores.ledger import Ledger
    from airlock.stores.queue import PromotionQueue

    plan = read_plan(inputs.rollout)
    release = verified(inputs.use_case, inputs.manifest.digest, context)
    rollout = approved(inputs.use_case, inputs.manifest.digest, inputs.gate, inputs.target, context)
    context.link("Manifest", rollout.manifest)
    context.link("Endpoint", rollout.endpoint)
    deployments = Deployments(context.database)
    traffic, different = _traffic(release, rollout.endpoint, context)
    canary = Canary(rollout, plan, deployments, Ledger(context.database), traffic, said_by(context), different)
    try:
        outcome = canary.run()
    except RolledBack:
        PromotionQueue(context.database).finish(context.run.dag, context.run.run, "rolled back")
        leave_staging(inputs.use_case, deployments)
        raise
    stored = context.artifacts.put(msgspec.json.format(msgspec.json.encode(outcome.figures)), "application/json")
    context.link("Report", stored.digest)
    return Outputs(generation=outcome.generation, report=stored, share=outcome.figures.get("share", 0.0))


def _traffic(release: "ReleaseManifest", endpoint: str, context: StepContext) -> "tuple[Traffic, int]":
    """Return what sends some of the package's samples, and how many there are.

    They come in random order, so that no period meets the split's.
    """
    from random import Random

    from airlock.deployment.client import ModelClient
    from airlock.deployment.package import read_package
    from airlock.errors import AirlockError

    package = read_package(context.fetch(release.package, "package"))
    bodies = [package.body(sample) for sample in package.samples]
    random = Random(0)

    def send() -> None:
        with ModelClient(endpoint) as client:
            for body, kind in random.choices(bodies, k=BURST):
                try:
                    client.answer(body, kind)
                except AirlockError:  # the servers and the gateway count what fails
                    continue

    return send, len(bodies)
