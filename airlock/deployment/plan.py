"""How a release takes over from the one that serves: a use case's configuration."""

from typing import Any

import msgspec

from airlock.errors import UserError


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps and limits of a canary.

    :param shares: of the predictions that the canary answers, one after another.
    :param requests: predictions that it must have answered in each of these steps.
    :param seconds: that each step takes at least.
    :param patience: seconds that a step waits for so many requests.
    :param synthetic: then sends the package's samples; otherwise the rollout holds.
    :param shadow: predictions that are copied to it, and compared, before it answers any; 0 for none.
    :param min_agreement: part of these copies in which it must say what the champion says.
    :param max_error_points: percentage points more refused or failed requests than the champion.
    :param max_latency_ratio: its median and 99th percentile over the champion's.
    :param latency_floor_ms: what is faster than this is fast enough.
    :param max_drift: population stability index between its predicted labels and the champion's.
    :param risk: probability that chance alone rolls back a canary that is as good as the champion, at most.
    """

    shares: list[float] = msgspec.field(default_factory=lambda: [0.05, 0.25, 1.0])
    requests: int = 50
    seconds: float = 5.0
    patience: float = 300.0
    synthetic: bool = False
    shadow: int = 0
    min_agreement: float = 0.0
    max_error_points: float = 1.0
    max_latency_ratio: float = 2.0
    latency_floor_ms: float = 25.0
    max_drift: float = 0.25
    risk: float = 0.05

    def faults(self) -> list[str]:
        """What types alone do not rule out."""
        wrong = []
        if not self.shares or self.shares != sorted(set(self.shares)) or not 0 < self.shares[0] <= self.shares[-1] <= 1:
            wrong.append("`shares` must rise, above 0 and up to 1")
        if self.requests < 1:
            wrong.append("`requests` is not above 0")
        if not 0 < self.risk < 1:
            wrong.append("`risk` is not between 0 and 1")
        if self.max_latency_ratio < 1:
            wrong.append("`max_latency_ratio` is below 1")
        return wrong


def read_plan(configured: dict[str, Any]) -> Plan:
    """Read a use case's configuration; what it leaves out has a default.

    :raises UserError: it is none; names the field.
    """
    try:
        plan = msgspec.convert(configured, Plan)
    except msgspec.ValidationError as error:
        raise UserError(f"The rollout cannot be read: {error}.", hint="See docs/rollout.md for its fields.") from error
    if faults := plan.faults():
        raise UserError(f"The rollout cannot be: {', '.join(faults)}.", hint="See docs/rollout.md for its fields.")
    return plan
