"""One stable endpoint in front of servers that come and go: ``/<use case>/…`` goes to that use case's servers.

Predictions (POST) are split between the stable release and its canary; everything else is the stable one's to answer.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from airlock.deployment.config import HEADER
from airlock.deployment.routes import SESSION, TRACK, Route, Routes, Splitter, Upstream
from airlock.deployment.shadow import Shadow

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# Headers of one connection, or computed again on the way.
HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-authorization",
       "proxy-authenticate", "host", "content-encoding", "accept-encoding", "expect"}  # fmt: skip
LENGTH = "content-length"
METRICS = "metrics"


class Gateway:
    """Forwards requests; what it answers itself is JSON with an ``error``.

    :param routes: shared with whoever starts the servers.
    """

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self.splitter = Splitter()
        # No proxy of the environment between two processes of this machine.
        self.client = httpx.AsyncClient(timeout=30, trust_env=False, limits=httpx.Limits(max_connections=64))
        self.shadow = Shadow(self.client)
        self.failures: Counter[str] = Counter()  # by manifest: predictions that its server did not answer
        self._turns: Counter[str] = Counter()

    async def index(self, _request: Request) -> Response:
        """What is served, what failed and what shadows answered, for people and for health checks."""
        serving = msgspec.to_builtins(self.routes.all())
        said = {"gateway": "airlock", "serving": serving, "failures": dict(self.failures)}
        return _json(said | {"shadow": msgspec.to_builtins(self.shadow.counted)})

    async def forward(self, request: Request) -> Response:
        """Pass one request on and its answer back."""
        name = request.path_params["use_case"]
        track = self._track(name, request)
        for again in (False, True):  # a server that was replaced or died meanwhile: ask who serves now
            route = self.routes.get(name)
            canary = track == "canary" and not (again and TRACK not in request.headers)
            upstream = route.canary if canary else route.stable
            if upstream is None:
                break
            try:
                return await self._answered(request, route, upstream)
            except httpx.ConnectError:
                self._failed(request, upstream)
            except httpx.HTTPError as error:
                self._failed(request, upstream)
                return _unavailable(f"The server of {name!r} failed: {type(error).__name__}.")
        served = ", ".join(sorted(self.routes.all())) or "nothing"
        return _unavailable(f"{name!r} is not served now. Served: {served}.")

    def _track(self, name: str, request: Request) -> str:
        route = self.routes.get(name)
        if request.method == "POST" and route.shadow:  # what a shadow answers is nobody's, whoever asks for it
            return "stable"
        if asked := request.headers.get(TRACK):
            return asked
        if request.method != "POST":
            return "stable"
        return self.splitter.choose(name, route, request.headers.get(SESSION, ""))

    async def _answered(self, request: Request, route: Route, upstream: Upstream) -> Response:
        if request.path_params["path"] == METRICS and len(upstream.urls) > 1:
            return await self._metrics(upstream)
        self._turns[upstream.manifest] += 1
        url = upstream.urls[self._turns[upstream.manifest] % len(upstream.urls)]
        copied = route.shadow and upstream is route.stable and self.shadow.takes(request)
        body = await request.body() if copied else _stream(request)
        reply = await self._sent(self._outgoing(request, url, body))
        if copied and route.canary:
            again = self._outgoing(request, route.canary.urls[0], body)
            self.shadow.copy(again, route.canary.manifest, reply)
        kept = {name: value for name, value in reply.headers.items() if name not in HOP and name != LENGTH}
        return Response(reply.content, reply.status_code, kept)

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        :raises httpx.HTTPError: nobody answered.
        """
        try:
            return await self.client.send(request)
        except AttributeError as error:  # anyio asks a socket that was closed as soon as it was open for its peer
            raise httpx.ConnectError("The connection was closed at once.", request=request) from error

    def _outgoing(self, request: Request, url: str, body: bytes | AsyncIterator[bytes] | None) -> httpx.Request:
        headers = [(name, value) for name, value in request.headers.items() if name not in HOP]
        return self.client.build_request(
            request.method,
            f"{url}/{request.path_params['path']}",
            params=request.query_params,
            headers=headers,
            content=body,
        )

    async def _metrics(self, upstream: Upstream) -> Response:
        """All servers' counters below one another: whoever reads them adds equal ones up."""
        replies = await asyncio.gather(*(self.client.get(f"{url}/{METRICS}") for url in upstream.urls))
        named = {HEADER: upstream.manifest, "content-type": "text/plain; version=0.0.4"}
        return Response("".join(reply.text for reply in replies), headers=named)

    def _failed(self, request: Request, upstream: Upstream) -> None:
        self.failures[upstream.manifest] += request.method == "POST"


def create_gateway(routes: Routes, work: Callable[[], AbstractAsyncContextManager[None]]) -> Starlette:
    """Return the application.

    :param work: entered while the gateway runs; whatever changes the routes.
    """
    gateway = Gateway(routes)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with work(), gateway.client:
            yield

    forwarded = Path("/{use_case}/{path:path}", gateway.forward, methods=METHODS)
    return Starlette(routes=[Path("/", gateway.index), forwarded], lifespan=lifespan)


def _stream(request: Request) -> AsyncIterator[bytes] | None:
    return request.stream() if LENGTH in request.headers or "transfer-encoding" in request.headers else None


def _unavailable(why: str) -> Response:
    """Nobody answers just now; another request may find somebody who does."""
    return Response(msgspec.json.encode({"error": why}), 503, {"Retry-After": "1"}, media_type="application/json")


def _json(document: object) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json")
