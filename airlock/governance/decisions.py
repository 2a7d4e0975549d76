"""Decisions: who said what about exactly which request, and how a request came to its end."""

from typing import Any, Literal

import msgspec

from airlock.errors import IntegrityError
from airlock.stores.gates import GateRequest

Verdict = Literal["approved", "rejected", "expired", "withdrawn", "superseded"]


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person's answer to one gate request; the body of a signed ledger record.

    :param request: id of the gate request, the digest of everything that was asked.
    :param manifest: digest of what was decided about; likewise ``evidence`` (what was shown) and ``policy``.
    :param roles: the roles the person had when answering.
    :param stage: the policy's stage, from 0.
    :param checked: items of the policy's checklist that the person confirmed.
    :param answers: what the person answered to the policy's form, by field.
    :param barred: who could not decide: the policy's four-eyes exclusions, by name.
    :param time: seconds since the epoch.
    """

    request: str
    use_case: str
    gate: str
    manifest: str
    evidence: str
    policy: str
    user: str
    roles: list[str]
    option: str
    approved: bool
    comment: str
    time: float
    stage: int = 0
    checked: list[str] = []
    answers: dict[str, str] = {}
    barred: list[str] = []


class Closing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The end of a gate request; the body of a signed ledger record, which is what an approval is known by.

    :param user: whose answer or withdrawal ended it; empty when time or a newer manifest did.
    :param reason: for people.
    """

    request: str
    use_case: str
    gate: str
    manifest: str
    verdict: Verdict
    user: str = ""
    reason: str = ""


def decision_body(decision: Decision) -> dict[str, Any]:
    """Return a decision as the body of a ledger record."""
    body: dict[str, Any] = msgspec.to_builtins(decision)
    return body


def decision_from(body: dict[str, Any]) -> Decision:
    """Read a decision from the body of a ledger record."""
    try:
        return msgspec.convert(body, Decision)
    except msgspec.ValidationError as error:
        raise IntegrityError(f"The ledger record is no decision: {error}.") from error


def closing_body(request: GateRequest, verdict: Verdict, user: str = "", reason: str = "") -> dict[str, Any]:
    """Return the body of the ledger record that ends a request."""
    closing = Closing(
        request=request.id,
        use_case=request.use_case,
        gate=request.gate,
        manifest=request.manifest,
        verdict=verdict,
        user=user,
        reason=reason,
    )
    body: dict[str, Any] = msgspec.to_builtins(closing)
    return body
