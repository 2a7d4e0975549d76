"""One use case's place on this machine: brings what is served towards what is wanted, a little at every tick."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from airlock.deployment.admission import Admission
from airlock.deployment.child import Child
from airlock.deployment.routes import Upstream
from airlock.deployment.shipping import server_arguments
from airlock.digests import short
from airlock.errors import InfrastructureError, NotApproved, ResourceError, UserError
from airlock.settings import settings

LOG = logging.getLogger("airlock.reconciler")
State = Literal["starting", "ready", "restarting", "refused", "failed"]

START_SECONDS = 60.0
DRAIN_SECONDS = 1.0  # requests that found the old server finish there
CHECK_SECONDS = 5.0
MISSES = 3  # unanswered checks in a row until a server counts as hung
RETRY_SECONDS = 30.0  # longest pause between two attempts; an altered package may have been repaired by then
STABLE_SECONDS = 60.0


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a wanted generation."""

    generation: int
    manifest: str
    state: State
    detail: str = ""


class Slot:
    """The server of one use case, and its successor while that starts.

    How it works: a wanted release is admitted (approved, unaltered), started beside the one that serves, asked
    until it is ready, then takes over. While a release is refused or does not start, the one before goes on.

    :param publish: told where the release is served whenever that changes; ``None``: nowhere.
    :param log: file that takes the servers' output.
    :param prefix: the path under which the gateway shows it.
    """

    def __init__(
        self, use_case: str, admission: Admission, publish: Callable[[Upstream | None], None], log: Path, prefix: str
    ) -> None:
        self.use_case = use_case
        self.admission = admission
        self.publish = publish
        self.log = log
        self.prefix = prefix
        self.serving: Child | None = None
        self.starting: Child | None = None
        self.observation = Observation(generation=-1, manifest="", state="starting")
        self._good = ""
        self._replaced: list[tuple[float, Child]] = []
        self._failures = 0
        self._misses = 0
        self._next_start = 0.0
        self._next_check = 0.0

    @property
    def busy(self) -> bool:
        """Is something about to change, so that the next tick should come soon?"""
        return self.starting is not None or bool(self._replaced)

    @property
    def manifests(self) -> set[str]:
        """Every release whose folder is still needed."""
        children = [child.manifest for child in (self.serving, self.starting) if child]
        return {self.observation.manifest, self._good, *children} - {""}

    def tick(self, generation: int, manifest: str) -> Observation:
        """Go one step towards serving a manifest and say how far it is."""
        if generation != self.observation.generation:
            self._turn_to(generation, manifest)
        self._stop_replaced()
        if self.serving:
            self._check_serving(self.serving)
        if self.starting:
            self._check_starting(self.starting)
        if self.serving and self.serving.manifest == manifest:
            self._observe("ready")
        elif self.starting is None and time.monotonic() >= self._next_start:
            self._start(manifest)
        return self.observation

    def hand_over(self) -> Child | None:
        """Give away the server that answers, if one does; nothing is served here afterwards."""
        child, self.serving = self.serving, None
        return child

    def stop(self) -> None:
        """Stop serving; every process is gone afterwards."""
        self.publish(None)
        for child in [self.serving, self.starting, *(child for _, child in self._replaced)]:
            if child:
                child.stop()
        self.serving = self.starting = None
        self._replaced = []

    def remove(self) -> None:
        """Stop serving: nothing but processes is left of a release here."""
        self.stop()

    def _turn_to(self, generation: int, manifest: str) -> None:
        LOG.info("%s: generation %d wants %s", self.use_case, generation, short(manifest))
        if self.starting and self.starting.manifest != manifest:
            self.starting.stop()
            self.starting = None
        self.observation = Observation(generation=generation, manifest=manifest, state="starting")
        self._failures, self._next_start = 0, 0.0

    def _start(self, manifest: str) -> None:
        try:
            self._launch(manifest)
        except (NotApproved, UserError) as error:
            self._observe("refused", str(error))
            self._next_start = time.monotonic() + RETRY_SECONDS
            self._start_good(manifest)
        except (InfrastructureError, ResourceError) as error:
            self._failed(str(error))

    def _start_good(self, refused: str) -> None:
        if self.serving or self._good in ("", refused):
            return
        try:
            self._launch(self._good)
        except (NotApproved, UserError, InfrastructureError, ResourceError) as error:
            LOG.error("%s: %s, which served before, cannot be started: %s", self.use_case, short(self._good), error)

    def _launch(self, manifest: str) -> None:
        folder = self.admission.admit(self.use_case, manifest)
        arguments = server_arguments(settings(), self.prefix, manifest)
        self.starting = Child(folder, manifest, self.prefix, self.log, arguments)
        LOG.info("%s: starting %s, process %d", self.use_case, short(manifest), self.starting.pid)

    def _check_starting(self, child: Child) -> None:
        if child.alive() and child.ready():
            self.take_over(child)
        elif not child.alive():
            self.starting = None
            self._failed(f"{short(child.manifest)} did not start: {child.obituary()}")
            child.stop()
        elif child.age > START_SECONDS:
            self.starting = None
            child.stop()
            self._failed(f"{short(child.manifest)} was not ready after {START_SECONDS:.0f} s")

    def take_over(self, child: Child) -> None:
        """Let a server that is ready answer from now on; the one before it ends when its requests are answered."""
        self.publish(Upstream(urls=(child.url,), manifest=child.manifest))
        if self.serving:
            self._replaced.append((time.monotonic() + DRAIN_SECONDS, self.serving))
        self.serving, self.starting, self._good = child, None, child.manifest
        self._misses, self._next_check = 0, time.monotonic() + CHECK_SECONDS
        LOG.info("%s: %s serves after %.1f s", self.use_case, short(child.manifest), child.age)

    def _check_serving(self, child: Child) -> None:
        if not child.alive():
            self._lost(child, f"{short(child.manifest)} ended: {child.obituary()}")
        elif time.monotonic() >= self._next_check:
            self._next_check = time.monotonic() + CHECK_SECONDS
            self._misses = 0 if child.ready() else self._misses + 1
            if self._misses >= MISSES:
                self._lost(child, f"{short(child.manifest)} did not answer {MISSES} times")
            elif child.age > STABLE_SECONDS:
                self._failures = 0

    def _lost(self, child: Child, detail: str) -> None:
        self.publish(None)
        self.serving = None
        child.stop()
        self._failed(detail)

    def _failed(self, detail: str) -> None:
        """Note a failure and pause before the next attempt: not at all at first, then longer and longer."""
        self._failures += 1
        pause = 0.0 if self._failures == 1 else min(2.0 ** (self._failures - 2), RETRY_SECONDS)
        self._next_start = time.monotonic() + pause
        LOG.warning("%s: %s; next attempt in %.0f s", self.use_case, detail, pause)
        self._observe("restarting" if self._failures < MISSES else "failed", detail)

    def _stop_replaced(self) -> None:
        now = time.monotonic()
        for due, child in self._replaced:
            if due <= now:
                child.stop()
                LOG.info("%s: %s stopped", self.use_case, short(child.manifest))
        self._replaced = [(due, child) for due, child in self._replaced if due > now]

    def _observe(self, state: State, detail: str = "") -> None:
        if state == "refused" and self.observation.state != "refused":
            LOG.error("%s: refused %s: %s", self.use_case, short(self.observation.manifest), detail)
        self.observation = msgspec.structs.replace(self.observation, state=state, detail=detail)
