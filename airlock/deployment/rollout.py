"""Brings a release to a target and makes sure that it is what answers there."""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from airlock.deployment.client import ModelClient
from airlock.deployment.routes import Track
from airlock.digests import short
from airlock.errors import InfrastructureError, UserError
from airlock.stores.deployments import LOCAL, STAGING, Deployment, Deployments
from airlock.stores.ledger import Ledger

LOOK_SECONDS = 0.3
SECOND_CHANCE = 40.0  # the reconciler looks again at what it refused; an altered package may have been repaired

Report = Callable[[str, float], None]
"""Called with the observed state and the seconds so far whenever the state changes."""


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
    target: str = LOCAL
    position: int | None = None


def serves(rollout: Rollout, deployments: Deployments) -> Deployment | None:
    """Return the deployment when exactly this is wanted, without a canary, observed ready and answering."""
    found = deployments.observed(rollout.use_case, rollout.target)
    wanted = found and (found.manifest, found.canary, found.state) == (rollout.manifest, "", "ready")
    return found if wanted and answering(rollout.endpoint) == rollout.manifest else None


def roll_out(
    rollout: Rollout, deployments: Deployments, timeout: float, report: Report, expected: int | None = None
) -> Deployment:
    """State what is wanted and wait until the endpoint itself names it.

    :param timeout: seconds.
    :param expected: the newest generation as far as is known; see :meth:`Deployments.want`.
    :raises UserError: something newer was deployed meanwhile, the target refused it, or its server does not start.
    :raises InfrastructureError: not ready in time.
    """
    before = deployments.observed(rollout.use_case, rollout.target)
    generation = deployments.want(
        rollout.use_case, rollout.target, rollout.manifest, rollout.decision, rollout.position, expected=expected
    )
    again = before is not None and before.generation == generation and before.state in ("refused", "failed")
    return wait_ready(rollout, deployments, generation, timeout, report, SECOND_CHANCE if again else 0.0)


def wait_ready(
    rollout: Rollout,
    deployments: Deployments,
    generation: int,
    timeout: float,
    report: Report,
    second_chance: float = 0.0,
    track: Track = "stable",
) -> Deployment:
    """Wait until a generation is observed ready, and the release names itself where it is to answer.

    :param second_chance: seconds in which being refused is not the last word.
    :raises UserError: something else was wished for, the target refused it, or its server does not start.
    :raises InfrastructureError: not ready in time.
    """
    started, state = time.monotonic(), ""
    while (seconds := time.monotonic() - started) < timeout:
        seen = require_newest(deployments.observed(rollout.use_case, rollout.target), generation)
        if seen.state != state:
            state = seen.state
            report(state or "wanted", seconds)
        if state == "ready" and answering(rollout.endpoint, track) == rollout.manifest:
            return seen
        if state in ("refused", "failed") and seconds >= second_chance:
            raise UserError(
                f"{short(rollout.manifest)} is not served: {seen.detail}", hint="Correct it and release again."
            )
        time.sleep(LOOK_SECONDS)
    raise InfrastructureError(
        f"{short(rollout.manifest)} was not served at {rollout.endpoint} after {timeout:.0f} s, "
        f"the last word was {state or 'nothing'!r}.",
        hint="`airlock status` says whether the reconciler runs.",
    )


def leave_staging(use_case: str, deployments: Deployments) -> None:
    """Nothing is wanted in staging any more; its server ends."""
    staged = deployments.observed(use_case, STAGING)
    if staged and staged.manifest:
        deployments.want(use_case, STAGING, "", "", expected=staged.generation)


def record_once(rollout: Rollout, deployment: Deployment, ledger: Ledger) -> None:
    """Append that this deployment became ready, unless a try before this one did.

    What is only tried in staging serves nobody: it is a rollout's record, not a deployment's.
    """
    body = {
        "use_case": rollout.use_case,
        "target": deployment.target,
        "generation": deployment.generation,
        "manifest": rollout.manifest,
        "decision": rollout.decision,
        "endpoint": rollout.endpoint,
    }
    if deployment.target == STAGING:
        append_once(ledger, "rollout", body | {"event": "staged"})
    else:
        append_once(ledger, "deployment", body)


def append_once(ledger: Ledger, kind: Any, body: dict[str, Any]) -> None:
    """Append a record about a generation, unless there is one of this kind about it."""
    named = body["use_case"], body["generation"]
    for record in ledger.read():
        if record.kind == kind and (record.use_case, record.body.get("generation")) == named:
            return
    ledger.append(kind, body)


def require_newest(seen: Deployment | None, generation: int) -> Deployment:
    """Return what was observed, when it is still the newest wish.

    :raises UserError: something else was wished for.
    """
    if seen is None or seen.generation != generation:
        raise UserError("Something else was deployed meanwhile.", hint="Clear this task if it should be this release.")
    return seen


def answering(endpoint: str, track: Track = "stable") -> str | None:
    """Return the manifest digest that a ready endpoint names; ``None`` when none answers."""
    with ModelClient(endpoint, timeout=5.0, track=track) as client:
        return client.manifest()
