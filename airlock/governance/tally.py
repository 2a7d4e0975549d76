"""Counting: how far the answers to one request have come under its policy."""

from collections.abc import Iterable

import msgspec

from airlock.errors import NotApproved
from airlock.governance.decisions import Decision
from airlock.governance.forms import unanswered
from airlock.governance.policy import GatePolicy
from airlock.stores.gates import GateRequest


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What the counted answers add up to.

    :param counted: the approvals that count, oldest first.
    :param rejected: the rejection that ended it.
    """

    request: GateRequest
    policy: GatePolicy
    counted: list[Decision] = []
    rejected: Decision | None = None

    @property
    def stage(self) -> int:
        """The stage that is open, from 0; the number of stages when all are complete."""
        left = len(self.counted)
        for number, stage in enumerate(self.policy.stages):
            if left < stage.quorum:
                return number
            left -= stage.quorum
        return len(self.policy.stages)

    @property
    def approved(self) -> bool:
        """Whether nobody else is needed."""
        return self.rejected is None and self.stage == len(self.policy.stages)

    @property
    def missing(self) -> int:
        """How many approvals the open stage still needs."""
        if self.approved:
            return 0
        before = sum(stage.quorum for stage in self.policy.stages[: self.stage])
        return self.policy.stages[self.stage].quorum - (len(self.counted) - before)

    def awaited(self, now: float) -> list[str]:
        """Roles that may decide now."""
        return [] if self.approved or self.rejected else self.policy.roles(self.stage, now - self.request.created)

    def check(self, user: str, roles: Iterable[str], barred: Iterable[str], now: float) -> int:
        """Return the stage in which a person may decide now.

        :param roles: the person's.
        :param barred: names of those whom four eyes keep out.
        :raises NotApproved: says why not.
        """
        what = f"the {self.request.gate} gate of {self.request.use_case}"
        if self.approved or self.rejected:
            raise NotApproved(f"{what.capitalize()} is decided.", hint="See `airlock gate show`.")
        if self.policy.window is not None and now > self.request.created + self.policy.window:
            raise NotApproved(f"{what.capitalize()} has expired.", hint="Clear the gate task to ask again.")
        wanted, having = self.awaited(now), sorted(roles)
        if not set(wanted) & set(having):
            raise NotApproved(
                f"{user} ({', '.join(having) or 'no role'}) may not answer {what}: stage {self.stage + 1} of "
                f"{len(self.policy.stages)} asks for the role {' or '.join(wanted)}.",
                hint=f"Ask somebody who is a {' or '.join(wanted)}.",
            )
        if user in barred:
            raise NotApproved(
                f"{user} may not answer {what}: whoever was its {' or '.join(self.policy.exclude)} is excluded.",
                hint="Ask somebody else with the role.",
            )
        if user in (decision.user for decision in self.counted):
            raise NotApproved(f"{user} already approved at {what}: nobody counts twice.", hint="Ask somebody else.")
        return self.stage


def tally(request: GateRequest, policy: GatePolicy, decisions: Iterable[Decision]) -> Tally:
    """Count decisions about a request, oldest first; what does not fit the policy does not count."""
    found = Tally(request=request, policy=policy)
    for decision in decisions:
        found = _with(found, decision)
    return found


def _with(found: Tally, decision: Decision) -> Tally:
    if not _binds(found.request, decision):
        return found
    try:
        found.check(decision.user, decision.roles, decision.barred, decision.time)
    except NotApproved:
        return found
    if not decision.approved:
        return msgspec.structs.replace(found, rejected=decision)
    if set(found.policy.checklist) - set(decision.checked) or unanswered(found.policy.form, decision.answers):
        return found
    return msgspec.structs.replace(found, counted=[*found.counted, decision])


def _binds(request: GateRequest, decision: Decision) -> bool:
    names = ("use_case", "gate", "manifest", "evidence", "policy")
    same = all(getattr(request, name) == getattr(decision, name) for name in names)
    return same and decision.request == request.id
