"""Takes a release through growing shares of the real requests, and back when it is worse than the champion.

How it works: each share is a wish of its own, made with the generation before it as a condition, so that of two
rollouts one loses and says so. What the canary and the champion answered is read back from their own counters through
the gateway. A worker that dies leaves the wish: the next try goes on at its share.
"""

import time
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from airlock.deployment.figures import Figures, read_figures
from airlock.deployment.judgement import FIRST_LOOK, Judge, in_figures
from airlock.deployment.plan import Plan
from airlock.deployment.readback import gateway_failures, shadow_answers
from airlock.deployment.rollout import LOOK_SECONDS, Report, Rollout, append_once, require_newest, roll_out, wait_ready
from airlock.digests import short
from airlock.errors import InfrastructureError, UserError
from airlock.stores.deployments import Deployment, Deployments
from airlock.stores.ledger import Ledger

READY_SECONDS = 120.0
SILENCE = 60.0  # seconds without any figures until the rollout gives up for now
BROKEN = ("restarting", "refused", "failed")
Traffic = Callable[[], None]
"""Sends some predictions to the endpoint."""


class RolledBack(UserError):
    """The canary was worse than the champion, which serves alone again."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a canary ended that was not rolled back.

    :param generation: that it left; ``None`` when nothing served before.
    :param figures: see :func:`airlock.deployment.judgement.in_figures`; empty when no canary was needed.
    """

    generation: int | None
    figures: dict[str, Any] = {}


class Canary:
    """A release on its way through the shares of a plan.

    :param traffic: what the plan's ``synthetic`` sends.
    :param inputs: how many different ones it repeats; 0 where it repeats none.
    :param report: called with what goes on and the share.
    """

    def __init__(
        self,
        rollout: Rollout,
        plan: Plan,
        deployments: Deployments,
        ledger: Ledger,
        traffic: Traffic,
        report: Report,
        inputs: int = 0,
    ) -> None:
        self.rollout = rollout
        self.plan = plan
        self.deployments = deployments
        self.ledger = ledger
        self.traffic = traffic
        self.report = report
        self.inputs = inputs
        self._repeated = 0  # different inputs that were sent again and again
        self.judge = Judge(plan)
        self.champion, self.canary = Figures(), Figures()
        self._counted: dict[str, Figures] = {}
        self._at: Deployment

    def run(self) -> Outcome:
        """Go through every share.

        :raises RolledBack: it was worse; the champion serves alone again.
        :raises UserError: something else was deployed meanwhile.
        :raises InfrastructureError: too few requests came, or the target cannot be asked; it stays at its share.
        """
        newest = self.deployments.observed(self.rollout.use_case, self.rollout.target)
        if not newest or not self.deployments.served(self.rollout.use_case, self.rollout.target):
            return Outcome(generation=newest.generation if newest else None)
        if (newest.manifest, newest.canary) == (self.rollout.manifest, ""):
            return Outcome(generation=newest.generation)
        self._at = newest
        share = newest.share if newest.canary == self.rollout.manifest else 0.0
        if self.plan.shadow and share == 0.0:
            self._in_shadow()
        for each in self.plan.shares:
            if each >= share:
                self._step(each)
        return Outcome(generation=self._at.generation, figures=in_figures(self.champion, self.canary))

    def _in_shadow(self) -> None:
        self._split(0.0, shadow=True)
        before = shadow_answers(self.rollout)
        since = time.monotonic()
        while (seen := shadow_answers(self.rollout).since(before)).answers + seen.failed < self.plan.shadow:
            self._wait("shadow", since, seen.answers, self.plan.shadow)
        if seen.agreement < self.plan.min_agreement:
            self._roll_back(f"{seen.agreement:.1%} agreement in shadow", {"shadow": msgspec.to_builtins(seen)})

    def _step(self, share: float) -> None:
        self._split(share)
        self._count()
        begun, since, looks = self.canary.requests, time.monotonic(), 0
        while True:
            self._count()
            answered = self.canary.requests - begun
            done = answered >= self.plan.requests and time.monotonic() - since >= self.plan.seconds
            if done or answered >= FIRST_LOOK << looks:
                looks += 1
                if reasons := self.judge.worse(self.champion, self.canary, looks, self._repeated):
                    self._roll_back("; ".join(reasons), in_figures(self.champion, self.canary))
            if done:
                return
            self._wait(f"canary at {share:.0%}", since, answered, self.plan.requests)

    def _split(self, share: float, *, shadow: bool = False) -> None:
        """Give the canary a share, wait until it answers, and write it down."""
        newest, mine = self._at, self.rollout
        if (newest.canary, newest.share, newest.shadow) != (mine.manifest, share, shadow):
            generation = self.deployments.split(
                mine.use_case, mine.target, mine.manifest, mine.decision, share,
                expected=newest.generation, shadow=shadow, position=mine.position,
            )  # fmt: skip
            self._at = require_newest(self.deployments.observed(mine.use_case, mine.target), generation)
        try:
            self._at = wait_ready(mine, self.deployments, self._at.generation, READY_SECONDS, self.report,
                                  track="canary")  # fmt: skip
        except UserError as error:
            require_newest(self.deployments.observed(mine.use_case, mine.target), self._at.generation)
            self._roll_back(error.message, {})
        append_once(self.ledger, "rollout", self._record() | {
            "event": "shadow" if shadow else "share", "share": share, "manifest": mine.manifest,
            "decision": mine.decision, "champion": self._at.manifest,
        })  # fmt: skip

    def _count(self) -> None:
        """Add what was answered since the last time; a target that cannot be asked now is asked again."""
        deadline = time.monotonic() + SILENCE
        while True:
            self._require_healthy()
            try:
                failures = gateway_failures(self.rollout)
                champion = self._new("stable", self._at.manifest, failures)
                canary = self._new("canary", self.rollout.manifest, failures)
                break
            except InfrastructureError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(LOOK_SECONDS)
        self.champion, self.canary = self.champion.plus(champion), self.canary.plus(canary)

    def _new(self, track: Any, manifest: str, failures: dict[str, int]) -> Figures:
        lost = failures.get(manifest, 0)
        now = read_figures(self.rollout.endpoint, track, manifest).plus(Figures(requests=lost, errors=lost))
        before = self._counted.setdefault(track, now)
        self._counted[track] = now
        return now.since(before)

    def _wait(self, what: str, since: float, answered: int, needed: int) -> None:
        self._require_healthy()
        seconds = time.monotonic() - since
        self.report(f"{what}, {answered} answered", seconds)
        if answered < needed and seconds > self.plan.patience:
            if not self.plan.synthetic:
                raise InfrastructureError(
                    f"{answered} of {needed} predictions came to {what} in {seconds:.0f} s; it stays.",
                    hint="Try again when more is asked, lower `requests`, or allow `synthetic` requests.",
                )
            self.traffic()
            self._repeated = self.inputs
        else:
            time.sleep(LOOK_SECONDS)

    def _require_healthy(self) -> None:
        seen = require_newest(
            self.deployments.observed(self.rollout.use_case, self.rollout.target), self._at.generation
        )
        if seen.state in BROKEN:
            self._roll_back(seen.detail or seen.state, in_figures(self.champion, self.canary))

    def _roll_back(self, reason: str, figures: dict[str, Any]) -> NoReturn:
        """Let the champion serve alone again, prove it by what answers, and write it down."""
        at = self._at
        back = msgspec.structs.replace(self.rollout, manifest=at.manifest, decision=at.decision, position=None)
        self._at = roll_out(back, self.deployments, READY_SECONDS, self.report, expected=at.generation)
        append_once(self.ledger, "rollback", self._record() | {
            "manifest": at.manifest, "decision": at.decision, "from": self.rollout.manifest, "by": "airlock",
            "reason": reason, "figures": figures, "at": at.share,
        })  # fmt: skip
        raise RolledBack(
            f"{short(self.rollout.manifest)} was rolled back at {at.share:.0%}: {reason}. "
            f"{short(at.manifest)} serves alone again.",
            hint="`airlock history show` has the figures. Correct the model and release again.",
        )

    def _record(self) -> dict[str, Any]:
        mine = self.rollout
        at = {"use_case": mine.use_case, "target": mine.target, "endpoint": mine.endpoint}
        return at | {"generation": self._at.generation}
