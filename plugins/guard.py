"""The gate guard: middleware of Airflow's API server that nobody gets past, whatever rights Airflow gives them.

Whether a request concerns a gate is decided by the application's own router, so encodings, trailing slashes and
wildcards mean the same to the guard and to Airflow. What reads only passes at once.
"""

from collections.abc import Callable
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from airlock.errors import AirlockError, InfrastructureError, NotApproved, ResourceError
from airlock.plugins.answering import Answering
from airlock.plugins.answers import GateAnswers
from airlock.plugins.reconcile import settle

READING = ("GET", "HEAD", "OPTIONS")
Handler = Callable[[dict[str, Any], Scope, Receive, Send], Any]


class GateGuard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.answers = GateAnswers()
        self.guarded: dict[str, Handler] = {"update_hitl_detail": Answering(app, self.answers)}
        self._routes: list[BaseRoute] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await to_thread.run_sync(settle, self.answers, limiter=CapacityLimiter(1))
        if scope["type"] != "http" or scope["method"] in READING:
            return await self.app(scope, receive, send)
        for route in self._guarded_routes(scope):
            match, child = route.matches(scope)
            if match is Match.FULL:
                return await self._handle(route, dict(child["path_params"]), scope, receive, send)
        return await self.app(scope, receive, send)

    async def _handle(
        self, route: BaseRoute, target: dict[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            await self.guarded[_endpoint(route)](target, scope, receive, send)
        except AirlockError as error:
            await JSONResponse({"detail": str(error)}, status_of(error))(scope, receive, send)

    def _guarded_routes(self, scope: Scope) -> list[BaseRoute]:
        if self._routes is None:
            self._routes = [route for route in _flatten(scope["app"].routes) if _endpoint(route) in self.guarded]
        return self._routes


def status_of(error: AirlockError) -> int:
    """HTTP status of a refusal."""
    if isinstance(error, NotApproved):
        return 403
    elsewhere = isinstance(error, InfrastructureError | ResourceError)
    return 503 if elsewhere else getattr(error, "status", 422)


def _endpoint(route: BaseRoute) -> str:
    return getattr(getattr(route, "endpoint", None), "__name__", "")


def _flatten(routes: list[BaseRoute]) -> list[BaseRoute]:
    """Routes of routers that are included lazily, as a flat list."""
    flat: list[BaseRoute] = []
    for route in routes:
        inner = getattr(route, "routes", None)
        flat += _flatten(inner) if inner and not hasattr(route, "endpoint") else [route]
    return flat
