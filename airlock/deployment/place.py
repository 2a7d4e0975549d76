"""One use case at one target: the release that serves, and while a rollout is under way a canary beside it."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec

from airlock.deployment.routes import Routes, Track, Upstream
from airlock.deployment.slot import Observation
from airlock.stores.deployments import LOCAL, Deployment

Publish = Callable[[Upstream | None], None]


class Server(Protocol):
    """Brings one release to where it is served; :class:`airlock.deployment.slot.Slot` is one.

    ``stop`` is for the end of this process, ``remove`` for a release that is not wanted any more.
    """

    observation: Observation

    @property
    def busy(self) -> bool: ...
    @property
    def manifests(self) -> set[str]: ...
    def tick(self, generation: int, manifest: str) -> Observation: ...
    def hand_over(self) -> Any: ...
    def take_over(self, served: Any) -> None: ...
    def stop(self) -> None: ...
    def remove(self) -> None: ...


def name_at(use_case: str, target: str) -> str:
    """The path of the gateway under which a use case is served at a target."""
    return use_case if target == LOCAL else f"{use_case}@{target}"


class Place:
    """What serves a use case at a target.

    :param make: gives a server for a track, which tells the second argument where it serves.
    """

    def __init__(self, name: str, routes: Routes, make: Callable[[Track, Publish], Server]) -> None:
        self.name = name
        self.routes = routes
        self.make = make
        self.stable = make("stable", partial(self._publish, "stable"))
        # Until a tick says otherwise: one that a process before this one left may not be wanted any more.
        self.canary: Server | None = make("canary", partial(self._publish, "canary"))

    @property
    def busy(self) -> bool:
        return self.stable.busy or (self.canary is not None and self.canary.busy)

    @property
    def manifests(self) -> set[str]:
        """Every release whose folder is still needed."""
        return self.stable.manifests | (self.canary.manifests if self.canary else set())

    def tick(self, wanted: Deployment) -> Observation:
        """Go one step towards what is wanted and say how far it is."""
        if self.canary and self.canary.observation.manifest not in ("", wanted.canary):
            self._end(self.canary, wanted.manifest)
        if wanted.canary and self.canary is None:
            self.canary = self.make("canary", partial(self._publish, "canary"))
        stable = self.stable.tick(wanted.generation, wanted.manifest)
        if self.canary and not wanted.canary and stable.state == "ready":
            self._end(self.canary, wanted.manifest)
        if self.canary is None or not wanted.canary:
            return stable
        canary = self.canary.tick(wanted.generation, wanted.canary)
        self.routes.change(self.name, share=wanted.share, shadow=wanted.shadow)
        if stable.state != "ready":
            return stable
        detail = f"canary: {canary.detail}" if canary.detail else ""
        return msgspec.structs.replace(stable, state=canary.state, detail=detail)

    def stop(self) -> None:
        """Stop what runs in this process."""
        for server in (self.canary, self.stable):
            if server:
                server.stop()

    def remove(self) -> None:
        """Nothing is wanted here any more."""
        for server in (self.canary, self.stable):
            if server:
                server.remove()

    def _end(self, canary: Server, manifest: str) -> None:
        """The canary is promoted where it runs, without a gap, or stopped."""
        if canary.observation.manifest == manifest and (served := canary.hand_over()):
            self.stable.take_over(served)
        self.routes.change(self.name, canary=None, share=0.0, shadow=False)
        canary.remove()
        self.canary = None

    def _publish(self, track: Track, upstream: Upstream | None) -> None:
        self.routes.change(self.name, **{track: upstream})
