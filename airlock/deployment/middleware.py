"""The outermost layer of the server: every answer names the manifest, every request is measured, and what it may cost
is limited before it costs anything: keys, a place in the queue, bytes and seconds of its body.
"""

import asyncio
import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airlock.deployment.config import HEADER
from airlock.deployment.keys import OPEN_PATHS, Keys
from airlock.deployment.metrics import Metrics
from airlock.deployment.options import Options
from airlock.errors import NotApproved

PATIENCE = 4  # times the limit that is read and thrown away


class Stamp:
    """Wraps the application from outside, so that error pages are stamped and measured too."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics
        self._header = HEADER.lower().encode(), metrics.manifest.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), self._header]
            await send(message)

        try:
            await self.app(scope, receive, stamped)
        finally:
            self.metrics.observe(_route(scope), status, time.perf_counter() - started)


class Limits:
    """Refuses what must not be worked on.

    :param limit: bytes a request's body may have.
    :param keys: who may ask; ``None`` for everybody.
    :param refuse: makes the answer of a refusal.
    """

    def __init__(
        self, app: ASGIApp, options: Options, limit: int, keys: Keys | None, refuse: Callable[[HTTPException], Response]
    ) -> None:
        self.app = app
        self.refuse = refuse
        self.options = options
        self.limit = limit
        self.keys = keys
        self.inside = 0  # requests with a body
        self.buffered = 0  # bytes of bodies
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if reason := self._reason(scope):
            await self.refuse(reason)(scope, receive, send)
            return
        if scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        body = _Body(self, receive)
        self.inside += 1
        try:
            await self.app(scope, body.receive, send)
        finally:
            self.inside -= 1
            self.buffered -= body.arrived

    def _reason(self, scope: Scope) -> HTTPException | None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if self.draining and path != "/v2/health/live":
            return HTTPException(503, "This server is stopping.", headers={"Connection": "close", "Retry-After": "1"})
        if self.keys and path not in OPEN_PATHS:
            try:
                self.keys.require(Headers(scope=scope))
            except NotApproved as error:
                return HTTPException(401, str(error), headers={"WWW-Authenticate": "Bearer"})
        if scope["method"] == "POST" and self.inside >= self.options.queue:
            return _busy(f"{self.inside} requests wait here already.")
        return None


class _Body:
    """Receives one request's body within the limits."""

    def __init__(self, limits: Limits, receive: Receive) -> None:
        self.limits = limits
        self._receive = receive
        self._until = time.monotonic() + limits.options.body_seconds
        self._complete = False
        self.arrived = 0

    async def receive(self) -> Message:
        if self._complete:  # what comes now is word that the client went away
            return await self._receive()
        message = await self._next()
        self._complete = not message.get("more_body")
        if self.arrived <= self.limits.limit:
            if self.limits.buffered > self.limits.options.buffered_bytes:
                raise _busy("The requests that wait here have filled the memory for their bodies.")
            return message
        # Read on without keeping anything, so that the sender gets to read the answer; but not for ever.
        while message.get("more_body") and self.arrived < PATIENCE * self.limits.limit:
            message = await self._next()
        raise HTTPException(413, f"The body has more than {self.limits.limit} bytes.", headers={"Connection": "close"})

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(self._until - time.monotonic()):
                message = await self._receive()
        except TimeoutError as error:
            seconds = self.limits.options.body_seconds
            raise HTTPException(408, f"The body did not arrive within {seconds:g} s.",
                                headers={"Connection": "close"}) from error  # fmt: skip
        size = len(message.get("body", b""))
        self.arrived += size
        self.limits.buffered += size
        return message


def _busy(reason: str) -> HTTPException:
    return HTTPException(429, f"{reason} Ask again later.", headers={"Retry-After": "1"})


def _route(scope: Scope) -> str:
    route = scope.get("route")
    return str(getattr(route, "path", "other"))
