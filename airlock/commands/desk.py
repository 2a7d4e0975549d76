"""Airlock's gates over HTTP, as one person sees them: the same routes and the same guard as everybody's."""

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import typer

from airlock.errors import InfrastructureError, NotApproved, UserError
from airlock.settings import settings

if TYPE_CHECKING:
    import httpx

TOKEN, USER, PASSWORD = "AIRLOCK_TOKEN", "AIRLOCK_USER", "AIRLOCK_PASSWORD"
PATIENCE = 60.0


class GateDesk:
    """The gates of an Airflow.

    :param base: URL of the API server.
    :param token: the person's.
    """

    def __init__(self, base: str, token: str) -> None:
        self.base = base.rstrip("/")
        self.headers = {"Authorization": f"Bearer {token}"}

    def requests(self, *, every: bool = False, mine: bool = False) -> list[dict[str, Any]]:
        """Gate requests, those that the person may answer first.

        :param every: also those that came to their end.
        """
        query = {"state": "all" if every else "open"} | ({"mine": "true"} if mine else {})
        found: list[dict[str, Any]] = self._call("GET", "/airlock/gates/requests", params=query)
        return found

    def request(self, request_id: str) -> dict[str, Any]:
        """One request with its evidence, policy and decisions.

        :param request_id: or the beginning of it, if no other begins like it.
        """
        fitting = [each["id"] for each in self.requests(every=True) if each["id"].startswith(request_id)]
        if len(fitting) != 1:
            many = f"{len(fitting)} gate requests begin" if fitting else "No gate request begins"
            raise UserError(f"{many} with {request_id!r}.", hint="`airlock gate list --all` shows them.")
        found: dict[str, Any] = self._call("GET", f"/airlock/gates/requests/{fitting[0]}")
        return found

    def answer(self, asked: dict[str, Any], option: str, form: dict[str, Any]) -> None:
        """Answer a request as Airflow's own page does."""
        names = [quote(str(asked[name]), safe="") for name in ("dag", "run", "task", "map_index")]
        path = "/api/v2/dags/{}/dagRuns/{}/taskInstances/{}/{}/hitlDetails".format(*names)
        self._call("PATCH", path, json={"chosen_options": [option], "params_input": form})

    def withdraw(self, asked: dict[str, Any], reason: str) -> None:
        """Withdraw a request."""
        self._call("POST", f"/airlock/gates/requests/{asked['id']}/withdraw", json={"reason": reason})

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        return _send(method, self.base, path, headers=self.headers, **arguments).json()


def sign_in(user: str = "") -> GateDesk:
    """Sign in with a token or, without one, with name and password; what is missing is asked for.

    :raises NotApproved: the API server does not know the person.
    """
    base = settings().airflow
    if not user and (token := os.environ.get(TOKEN)):
        return GateDesk(base, token)
    name = user or os.environ.get(USER) or typer.prompt("User", err=True)
    password = os.environ.get(PASSWORD) or typer.prompt("Password", hide_input=True, err=True)
    reply = _send("POST", base.rstrip("/"), "/auth/token", json={"username": name, "password": password})
    return GateDesk(base, reply.json()["access_token"])


def _send(method: str, base: str, path: str, **arguments: Any) -> "httpx.Response":
    import httpx

    try:
        reply = httpx.request(method, base + path, timeout=PATIENCE, follow_redirects=True, **arguments)
    except httpx.TransportError as error:
        raise InfrastructureError(
            f"Airflow does not answer at {base}: {error}.", hint="See `airlock status`."
        ) from error
    if reply.is_success:
        return reply
    said = _detail(reply)
    if reply.status_code == 401:
        hint = f"Sign in again: {TOKEN}, or {USER} and {PASSWORD}."
        raise NotApproved(f"Airflow does not know who you are: {said}.", hint=hint)
    raise (UserError if reply.status_code < 500 else InfrastructureError)(said)


def _detail(reply: "httpx.Response") -> str:
    try:
        said = reply.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"{reply.request.method} {reply.request.url.path} ended with {reply.status_code}"
    return said if isinstance(said, str) else str(said)
