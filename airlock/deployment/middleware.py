"""The outermost layer of the server: every answer names the manifest, every request is measured, bodies are limited."""

import time

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airlock.deployment.config import HEADER
from airlock.deployment.metrics import Metrics

PATIENCE = 4  # times the limit that is read and thrown away


class Stamp:
    """Wraps the application from outside, so that error pages are stamped too.

    :param limit: bytes a request's body may have.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, limit: int) -> None:
        self.app = app
        self.metrics = metrics
        self.limit = limit

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
                MutableHeaders(scope=message)[HEADER] = self.metrics.manifest
            await send(message)

        try:
            await self.app(scope, _limited(receive, self.limit), stamped)
        finally:
            self.metrics.observe(_route(scope), status, time.perf_counter() - started)


def _limited(receive: Receive, limit: int) -> Receive:
    arrived = 0

    async def limited() -> Message:
        nonlocal arrived
        message = await receive()
        arrived += len(message.get("body", b""))
        if arrived <= limit:
            return message
        # Read on without keeping anything, so that the sender gets to read the answer; but not for ever.
        while message.get("more_body") and arrived < PATIENCE * limit:
            message = await receive()
            arrived += len(message.get("body", b""))
        raise HTTPException(413, f"The body has more than {limit} bytes.", headers={"Connection": "close"})

    return limited


def _route(scope: Scope) -> str:
    route = scope.get("route")
    return str(getattr(route, "path", "other"))
