"""The gate guard: middleware of Airflow's API server that nobody gets past, whatever rights Airflow gives them.

Whether a request concerns a gate is decided by the application's own router, so encodings, trailing slashes and
wildcards mean the same to the guard and to Airflow. What only reads passes at once, what is none of the guard's
business after one regular expression.
"""

import logging
from typing import Any

from airflow.api_fastapi.app import AUTH_MANAGER_FASTAPI_APP_PREFIX
from anyio import CapacityLimiter, to_thread
from starlette._utils import get_route_path
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from airlock.errors import AirlockError, InfrastructureError, NotApproved, ResourceError
from airlock.plugins.accounts import Accounts
from airlock.plugins.answering import Answering
from airlock.plugins.answers import GateAnswers
from airlock.plugins.bodies import body_of, document_of, replay, whole_body
from airlock.plugins.clock import Clock
from airlock.plugins.identity import identify
from airlock.plugins.reconcile import settle
from airlock.plugins.refusals import REFUSALS, Call
from airlock.plugins.routes import GUARDED, READING, Router
from airlock.plugins.touched import Gates
from airlock.settings import settings
from airlock.stores.database import open_database
from airlock.stores.gates import GateRequests

log = logging.getLogger(__name__)

AUTH = AUTH_MANAGER_FASTAPI_APP_PREFIX + "/"
WORKING = 8


class GateGuard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.answers = GateAnswers()
        self.clock = Clock(self.answers)
        self.answering = Answering(app, self.answers)
        self._router: Router | None = None
        self._accounts: Accounts | None = None
        self._working = CapacityLimiter(WORKING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._live(scope, receive, send)
        self.clock.keep_going()
        if scope["type"] != "http" or (scope["method"] in READING and not get_route_path(scope).startswith(AUTH)):
            return await self.app(scope, receive, send)
        try:
            if found := self._find(scope):
                return await self._guarded(*found, scope, receive, send)
        except AirlockError as error:
            log.warning("Refused %s %s: %s", scope["method"], scope["path"], error)
            return await JSONResponse({"detail": str(error)}, status_of(error))(scope, receive, send)
        return await self.app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await to_thread.run_sync(settle, self.answers, limiter=CapacityLimiter(1))
        self.clock.start()
        try:
            await self.app(scope, receive, send)
        finally:
            await to_thread.run_sync(self.clock.stop, limiter=CapacityLimiter(1))

    def _find(self, scope: Scope) -> tuple[str, dict[str, Any]] | None:
        if self._router is None or self._accounts is None:  # plugins have added their routes by the first request
            routes = scope["app"].routes
            self._router, self._accounts = Router(routes, GUARDED), Accounts(routes)
        if get_route_path(scope).startswith(AUTH):
            self._accounts.check(scope)
        return self._router.find(scope)

    async def _guarded(self, endpoint: str, target: dict[str, Any], scope: Scope, receive: Receive, send: Send) -> None:
        document = document_of(await whole_body(receive))
        # Airflow reads what was read here, written again: it cannot read it otherwise.
        again = replay(body_of(document), receive)
        gates = self.gates(scope)
        if endpoint not in REFUSALS:
            return await self.answering(target, body_of(document), gates, scope, again, send)
        await identify(Request(scope))
        await to_thread.run_sync(REFUSALS[endpoint], Call(gates, target, document), limiter=self._working)
        return await self.app(scope, again, send)

    def gates(self, scope: Scope) -> Gates:
        """The gates as Airflow and the ledger know them."""
        return Gates(GateRequests(open_database(settings().database)), scope["app"].state.dag_bag)


def status_of(error: AirlockError) -> int:
    """HTTP status of a refusal."""
    if isinstance(error, NotApproved):
        return 403
    elsewhere = isinstance(error, InfrastructureError | ResourceError)
    return 503 if elsewhere else getattr(error, "status", 422)
