"""The check before every act that a gate protects. It fails closed and says which check failed."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import msgspec

from airlock.digests import short
from airlock.errors import IntegrityError, NotApproved
from airlock.governance.decisions import Decision, decision_from
from airlock.governance.ledger import verify_ledger
from airlock.governance.policy import GatePolicy
from airlock.stores.gates import GateRequest
from airlock.stores.ledger import Ledger, Record

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Decided = list[tuple[Decision, Record]]


def require_approval(
    ledger: Ledger | Sequence[Record],
    manifest: str,
    gate: str,
    keys: "dict[str, Ed25519PublicKey]",
    use_case: str,
    *,
    policy: str = "",
    roles: Collection[str] = (),
    quorum: int = 1,
) -> Record:
    """Return the decision record that completes the approval of exactly this manifest at this gate.

    :param ledger: the ledger, or its records; every record's chain and signature is verified here.
    :param manifest: digest of what is about to be acted on.
    :param keys: public keys by id; no private one is needed.
    :param policy: expected policy digest; a decision under another does not count. Empty: any.
    :param roles: roles of which who decides must have had one. Empty: any.
    :param quorum: how many different people must have approved since the last rejection.
    :raises NotApproved: says which check failed: chain or signature, no decision, another policy, no such role,
        rejected, too few people.
    """
    what = f"manifest {short(manifest)} at the {gate} gate of {use_case}"
    asked = (use_case, gate, manifest)
    decided = [item for item in _valid(ledger, keys) if (item[0].use_case, item[0].gate, item[0].manifest) == asked]
    if not decided:
        raise NotApproved(f"There is no decision about {what}.", hint="Answer it in Airflow's Required Actions.")
    if policy and not (decided := [item for item in decided if item[0].policy == policy]):
        raise NotApproved(f"What was decided about {what} was decided under another policy.", hint="Ask again.")
    if roles and not (decided := [item for item in decided if set(roles) & set(item[0].roles)]):
        raise NotApproved(f"Nobody who decided about {what} was a {' or '.join(sorted(roles))}.", hint="Ask again.")
    last, record = decided[-1]
    if not last.approved:
        raise NotApproved(f"{last.user} rejected {what} with {last.option!r}.", hint="Do the rework, then ask again.")
    if (count := len(_approvers(decided))) < quorum:
        raise NotApproved(f"Only {count} of {quorum} people approved {what}.", hint="Ask the others.")
    return record


def approval_of_request(
    ledger: Ledger, request: GateRequest, keys: "dict[str, Ed25519PublicKey]"
) -> tuple[Decision, str] | None:
    """Return what was decided about a request and the record's hash; ``None`` while the decision is open.

    One rejection decides; approval takes as many different people as the request's policy says.

    :raises NotApproved: chain or signature of the ledger is broken.
    """
    policy = msgspec.convert(request.policy, GatePolicy)
    asked = (request.id, request.use_case, request.gate, request.manifest, policy.digest)
    decided = [
        (decision, record)
        for decision, record in _valid(ledger, keys)
        if (decision.request, decision.use_case, decision.gate, decision.manifest, decision.policy) == asked
        and policy.role in decision.roles
    ]
    if not decided or (decided[-1][0].approved and len(_approvers(decided)) < policy.quorum):
        return None
    decision, record = decided[-1]
    return decision, record.hash


def _valid(ledger: Ledger | Sequence[Record], keys: "dict[str, Ed25519PublicKey]") -> Decided:
    """Verify the whole ledger and return its decisions that no later record voids."""
    records = ledger.records() if isinstance(ledger, Ledger) else list(ledger)
    try:
        verify_ledger(records, keys)
        voided = {record.content.get("decision") for record in records if record.kind == "void"}
        kept = (record for record in records if record.kind == "decision" and record.hash not in voided)
        return [(decision_from(record.content), record) for record in kept]
    except IntegrityError as error:
        raise NotApproved(f"The ledger does not verify. {error.message}", hint=error.hint) from error


def _approvers(decided: Decided) -> set[str]:
    """Return who approved since the last rejection."""
    people: set[str] = set()
    for decision, _ in decided:
        people = people | {decision.user} if decision.approved else set()
    return people
