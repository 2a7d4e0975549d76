"""Decisions: who said what about exactly which manifest, on which evidence, under which policy."""

from typing import Any

import msgspec

from airlock.errors import IntegrityError


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person's answer to one gate request; the body of a signed ledger record.

    :param request: id of the gate request.
    :param manifest: digest of what was decided about; likewise ``evidence`` (what was shown) and ``policy``.
    :param roles: the roles the person had when answering.
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
