"""One stable endpoint in front of servers that come and go: ``/<use case>/…`` goes to that use case's server."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# Headers of one connection, or computed again on the way.
HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-authorization",
       "proxy-authenticate", "host", "content-encoding", "accept-encoding", "expect"}  # fmt: skip
LENGTH = "content-length"


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """Where a use case is served now."""

    url: str
    manifest: str


class Routes:
    """Which use case is served where. One thread writes, the gateway reads: each change is one assignment."""

    def __init__(self) -> None:
        self._upstreams: dict[str, Upstream] = {}

    def get(self, use_case: str) -> Upstream | None:
        """Return where a use case is served."""
        return self._upstreams.get(use_case)

    def set(self, use_case: str, upstream: Upstream | None) -> None:
        """Send a use case's requests somewhere else from now on; ``None``: nowhere."""
        rest = {name: found for name, found in self._upstreams.items() if name != use_case}
        self._upstreams = rest | ({use_case: upstream} if upstream else {})

    def all(self) -> dict[str, Upstream]:
        """Return every route."""
        return self._upstreams


class Gateway:
    """Forwards requests; what it answers itself is JSON with an ``error``.

    :param routes: shared with whoever starts the servers.
    """

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        # No proxy of the environment between two processes of this machine.
        self.client = httpx.AsyncClient(timeout=30, trust_env=False, limits=httpx.Limits(max_connections=64))

    async def index(self, _request: Request) -> Response:
        """What is served, for people and for health checks."""
        return _json({"gateway": "airlock", "serving": msgspec.to_builtins(self.routes.all())})

    async def forward(self, request: Request) -> Response:
        """Pass one request on and its answer back."""
        use_case = request.path_params["use_case"]
        for _ in range(2):  # a server that was replaced between the look-up and the connection: ask its successor
            upstream = self.routes.get(use_case)
            if upstream is None:
                break
            try:
                return await self._send(request, upstream)
            except httpx.ConnectError:
                continue
            except httpx.HTTPError as error:
                return _json({"error": f"The server of {use_case!r} failed: {type(error).__name__}."}, 502)
        served = ", ".join(sorted(self.routes.all())) or "nothing"
        return _json({"error": f"{use_case!r} is not served now. Served: {served}."}, 503, {"Retry-After": "1"})

    async def _send(self, request: Request, upstream: Upstream) -> Response:
        headers = [(name, value) for name, value in request.headers.items() if name not in HOP]
        body = request.stream() if LENGTH in request.headers or "transfer-encoding" in request.headers else None
        url = f"{upstream.url}/{request.path_params['path']}"
        reply = await self.client.request(
            request.method, url, params=request.query_params, headers=headers, content=body
        )
        kept = {name: value for name, value in reply.headers.items() if name not in HOP and name != LENGTH}
        return Response(reply.content, reply.status_code, kept)


def create_gateway(routes: Routes, work: Callable[[], AbstractAsyncContextManager[None]]) -> Starlette:
    """Return the application.

    :param work: entered while the gateway runs; whatever changes the routes.
    """
    gateway = Gateway(routes)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with work(), gateway.client:
            yield

    forwarded = Route("/{use_case}/{path:path}", gateway.forward, methods=METHODS)
    return Starlette(routes=[Route("/", gateway.index), forwarded], lifespan=lifespan)


def _json(document: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(document), status, headers, media_type="application/json")
