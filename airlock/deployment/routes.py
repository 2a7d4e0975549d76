"""Which server answers a request: the stable release's, or for a share of the requests a canary's."""

import hashlib
from collections import Counter
from typing import Any, Literal

import msgspec

Track = Literal["stable", "canary"]
TRACK = "X-Airlock-Track"  # a request that says `stable` or `canary` is answered by that one, or by nobody
SESSION = "X-Airlock-Session"  # requests with the same value are answered by the same release while a share stands
GOLDEN = 0.6180339887498949


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """Servers of one release.

    :param urls: at least one; they take turns.
    """

    urls: tuple[str, ...]
    manifest: str


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where a use case is served.

    :param share: of the predictions that the canary answers.
    :param shadow: the canary gets copies, and nobody its answers.
    """

    stable: Upstream | None = None
    canary: Upstream | None = None
    share: float = 0.0
    shadow: bool = False


class Routes:
    """Where each use case is served. One thread writes, the gateway reads: each change is one assignment."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}

    def get(self, name: str) -> Route:
        """Return a use case's route, which may lead nowhere."""
        return self._routes.get(name, Route())

    def change(self, name: str, **changes: Any) -> None:
        """Send a use case's requests otherwise from now on; fields are those of :class:`Route`."""
        known = self.get(name)
        changed = msgspec.structs.replace(known, **changes)
        if changed == known:
            return
        rest = {known: route for known, route in self._routes.items() if known != name}
        self._routes = rest | ({name: changed} if changed.stable or changed.canary else {})

    def all(self) -> dict[str, Route]:
        """Return every route."""
        return self._routes


class Splitter:
    """Chooses a track for each prediction.

    Turn ``n`` is the canary's when the fraction of ``n`` times the golden ratio is below the share: any stretch of
    requests is split as evenly as can be (Weyl, H. (1916): Über die Gleichverteilung von Zahlen mod. Eins), and no
    period in the requests goes round with it. Whoever names a session stays with one release; a share that grows
    only adds sessions.
    """

    def __init__(self) -> None:
        self._turns: Counter[str] = Counter()

    def choose(self, name: str, route: Route, session: str = "") -> Track:
        """Return who answers the next prediction."""
        if route.canary is None or route.shadow or route.share <= 0:
            return "stable"
        if session:
            place = int.from_bytes(hashlib.sha256(session.encode()).digest()[:8]) / 2**64
        else:
            self._turns[name] += 1
            place = self._turns[name] * GOLDEN % 1
        return "canary" if place < route.share else "stable"
