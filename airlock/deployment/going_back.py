"""Back to what served before: on purpose, approved all the same, and proved by what answers then."""

from typing import Any

import msgspec

from airlock.deployment.rollout import Report, Rollout, roll_out
from airlock.digests import PREFIX, short
from airlock.errors import NotApproved, UserError
from airlock.governance.book import Book
from airlock.stores.deployments import Deployment, Deployments
from airlock.stores.ledger import Ledger, Record


class Back(msgspec.Struct, frozen=True, kw_only=True):
    """What to go back to, and from what.

    :param generation: the newest one, which it was decided about.
    :param left: digest of what is given up.
    """

    generation: int
    left: str
    manifest: str
    decision: str


def choose(
    book: Book, deployments: Deployments, use_case: str, target: str, to: str = "", gate: str = "release"
) -> Back:
    """Return the last release that served before what is wanted now, and is still approved.

    While a canary runs, that is the champion beside it. What was itself given up is gone back to by name only.

    :param to: digest of a release that served once, or the beginning of it.
    :raises UserError: nothing is deployed, or nothing else served before.
    :raises NotApproved: what is named is not approved any more.
    """
    newest = deployments.observed(use_case, target)
    if newest is None or not newest.manifest:
        raise UserError(f"{use_case} is not deployed at {target}.", hint="See `airlock deployments`.")
    left = newest.canary or newest.manifest
    served = dict.fromkeys(each.manifest for each in deployments.served(use_case, target) if each.manifest != left)
    if not to:
        served = {manifest: None for manifest in served if manifest not in _given_up(book, use_case, target)}
    else:
        served = {manifest: None for manifest in served if manifest.startswith(PREFIX + to.removeprefix(PREFIX))}
    refusals = []
    for manifest in served:
        try:
            decision = book.approval(use_case, gate, manifest).hash
        except NotApproved as error:
            refusals.append(error)
            continue
        return Back(generation=newest.generation, left=left, manifest=manifest, decision=decision)
    if refusals:
        raise refusals[0]
    raise UserError(
        f"No {'release ' + to if to else 'other release'} served {use_case} at {target} before {short(left)}.",
        hint="`airlock deployments` lists what did.",
    )


def _given_up(book: Book, use_case: str, target: str) -> set[str]:
    """What was rolled back, and not deployed again since."""
    found: set[str] = set()
    for record in book.deployments:
        if (record.use_case, record.body.get("target")) == (use_case, target):
            found.discard(str(record.body.get("manifest")))
            if record.kind == "rollback":
                found.add(str(record.body.get("from")))
    return found


def go_back(
    back: Back, rollout: Rollout, deployments: Deployments, ledger: Ledger, told: dict[str, Any], report: Report
) -> tuple[Deployment, Record]:
    """Let it serve again, wait until the endpoint itself names it, and write it down.

    :param rollout: names use case, target and endpoint.
    :param told: ``by`` whom and ``reason`` why.
    :raises UserError: something else was deployed since it was chosen, or it is not served.
    """
    served = msgspec.structs.replace(rollout, manifest=back.manifest, decision=back.decision, position=None)
    deployment = roll_out(served, deployments, 120.0, report, expected=back.generation)
    body = {
        "use_case": rollout.use_case,
        "target": rollout.target,
        "generation": deployment.generation,
        "manifest": back.manifest,
        "decision": back.decision,
        "endpoint": rollout.endpoint,
        "from": back.left,
    }
    return deployment, ledger.append("rollback", body | told)
