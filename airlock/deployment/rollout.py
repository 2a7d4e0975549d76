"""Brings a release to a target and makes sure that it is what answers there."""

import time
from collections.abc import Callable

import msgspec

from airlock.deployment.client import ModelClient
from airlock.digests import short
from airlock.errors import InfrastructureError, UserError
from airlock.stores.deployments import Deployment, Deployments
from airlock.stores.ledger import Ledger

TARGET = "local"
LOOK_SECONDS = 0.3
SECOND_CHANCE = 40.0  # the reconciler looks again at what it refused; an altered package may have been repaired


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """One release on its way.

    :param manifest: digest of the release manifest.
    :param decision: hash of the ledger record that approves it.
    :param endpoint: URL at which it will answer.
    :param position: of the promotion queue's item it was made from; ``None`` for what was asked for by name.
    """

    use_case: str
    manifest: str
    decision: str
    endpoint: str
    position: int | None = None


def serves(rollout: Rollout, deployments: Deployments) -> Deployment | None:
    """Return the deployment when exactly this is wanted, observed ready and answering."""
    found = deployments.observed(rollout.use_case, TARGET)
    wanted = found and (found.manifest, found.state) == (rollout.manifest, "ready")
    return found if wanted and _answering(rollout.endpoint) == rollout.manifest else None


def roll_out(
    rollout: Rollout, deployments: Deployments, timeout: float, report: Callable[[str, float], None]
) -> Deployment:
    """State what is wanted and wait until the endpoint itself names it.

    :param timeout: seconds.
    :param report: called with the observed state and the seconds so far whenever the state changes.
    :raises UserError: something newer was deployed meanwhile, the target refused it, or its server does not start.
    :raises InfrastructureError: not ready in time.
    """
    before = deployments.observed(rollout.use_case, TARGET)
    generation = deployments.want(rollout.use_case, TARGET, rollout.manifest, rollout.decision, rollout.position)
    again = before is not None and before.generation == generation and before.state in ("refused", "failed")
    started, state = time.monotonic(), ""
    while (seconds := time.monotonic() - started) < timeout:
        seen = _require_newest(deployments.observed(rollout.use_case, TARGET), generation)
        if seen.state != state:
            state = seen.state
            report(state or "wanted", seconds)
        if state == "ready" and _answering(rollout.endpoint) == rollout.manifest:
            return seen
        if state in ("refused", "failed") and not (again and seconds < SECOND_CHANCE):
            raise UserError(
                f"{short(rollout.manifest)} is not served: {seen.detail}", hint="Correct it and release again."
            )
        time.sleep(LOOK_SECONDS)
    raise InfrastructureError(
        f"{short(rollout.manifest)} was not served at {rollout.endpoint} after {timeout:.0f} s, "
        f"the last word was {state or 'nothing'!r}.",
        hint="`airlock status` says whether the reconciler runs.",
    )


def record_once(rollout: Rollout, deployment: Deployment, ledger: Ledger) -> None:
    """Append that this deployment became ready, unless a try before this one did."""
    body = {
        "use_case": rollout.use_case,
        "target": deployment.target,
        "generation": deployment.generation,
        "manifest": rollout.manifest,
        "decision": rollout.decision,
        "endpoint": rollout.endpoint,
    }
    if not any(record.kind == "deployment" and record.body == body for record in ledger.records()):
        ledger.append("deployment", body)


def _require_newest(seen: Deployment | None, generation: int) -> Deployment:
    if seen is None or seen.generation != generation:
        raise UserError("Something else was deployed meanwhile.", hint="Clear this task if it should be this release.")
    return seen


def _answering(endpoint: str) -> str | None:
    with ModelClient(endpoint, timeout=5.0) as client:
        return client.manifest()
