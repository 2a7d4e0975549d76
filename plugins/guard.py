"""The gate guard: middleware of Airflow's API server that lets only the right people answer a gate.

It looks at one kind of request: an answer to a human-in-the-loop task. Whether a request is one is decided by the
application's own router, so encodings and trailing slashes mean the same to the guard and to Airflow. An answer to a
task that filed a gate request passes only with the right role, and leaves a decision signed with a key that only the
API server holds:

1. the signed decision is written ahead, before Airflow sees the answer;
2. Airflow takes the answer (or refuses it: the written-ahead decision becomes void);
3. the decision is appended to the ledger, and only then the client hears that it was taken.

A crash between 2 and 3 is settled at the next start, from what Airflow recorded (:mod:`airlock.plugins.reconcile`).
"""

from collections.abc import MutableMapping
from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airlock.errors import AirlockError, InfrastructureError, NotApproved, ResourceError, UserError
from airlock.plugins.answers import Answer, GateAnswers
from airlock.plugins.identity import identify
from airlock.plugins.reconcile import settle

ANSWERING = "update_hitl_detail"
LONGEST_BODY = 1 << 20


class GateGuard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.answers = GateAnswers()
        self._routes: list[BaseRoute] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await to_thread.run_sync(settle, self.answers)
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return await self.app(scope, receive, send)
        target = self._answered(scope)
        if target is None:
            return await self.app(scope, receive, send)
        return await self._guard(target, scope, receive, send)

    def _answered(self, scope: Scope) -> dict[str, Any] | None:
        """The path parameters of an answering route, as its handler will get them."""
        for route in self._answering_routes(scope):
            match, child = route.matches(scope)
            if match is Match.FULL:
                return dict(child["path_params"])
        return None

    def _answering_routes(self, scope: Scope) -> list[BaseRoute]:
        if self._routes is None:
            found = _flatten(scope["app"].routes)
            self._routes = [r for r in found if getattr(getattr(r, "endpoint", None), "__name__", "") == ANSWERING]
        return self._routes

    async def _guard(self, target: dict[str, Any], scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await _whole_body(receive)
            user = await identify(Request(scope))
            answer = await to_thread.run_sync(self.answers.prepare, target, user, body)
        except AirlockError as error:
            return await JSONResponse({"detail": str(error)}, _status(error))(scope, receive, send)
        if answer is None:
            return await self.app(scope, _replay(body), send)
        return await self.app(scope, _replay(body), partial(self._finish, answer, send))

    async def _finish(self, answer: Answer, send: Send, message: Message) -> None:
        if message["type"] == "http.response.start":
            accepted = 200 <= message["status"] < 300
            await to_thread.run_sync(self.answers.finish, answer, accepted)
        await send(message)


def _flatten(routes: list[BaseRoute]) -> list[BaseRoute]:
    """Routes of routers that are included lazily, as a flat list."""
    flat: list[BaseRoute] = []
    for route in routes:
        inner = getattr(route, "routes", None)
        flat += _flatten(inner) if inner and not hasattr(route, "endpoint") else [route]
    return flat


async def _whole_body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > LONGEST_BODY:
            raise UserError("The answer is larger than 1 MiB.", hint="Shorten the comment.")
        if not message.get("more_body"):
            return body


def _replay(body: bytes) -> Receive:
    sent = False

    async def receive() -> MutableMapping[str, Any]:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _status(error: AirlockError) -> int:
    if isinstance(error, NotApproved):
        return 403
    elsewhere = isinstance(error, InfrastructureError | ResourceError)
    return 503 if elsewhere else getattr(error, "status", 422)
