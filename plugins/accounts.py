"""User management while a roster is set: names in it must not change hands through Airflow.

With a roster, whoever administers Airflow cannot give away a role. They could still give themselves a person who has
one: set that person's password, delete and make the account anew, rename it. So accounts are managed on the host.
"""

from typing import Any

from airflow.api_fastapi.app import AUTH_MANAGER_FASTAPI_APP_PREFIX
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import Scope
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from airlock.errors import NotApproved
from airlock.plugins.routes import READING, endpoint_name
from airlock.settings import settings

# Signing in, out, and one's own password and name.
OWN = ("create_token", "login", "logout")
OWN_VIEWS = ("Auth", "SecurityApi.login", "SecurityApi.refresh", "CustomResetMyPasswordView", "CustomUserInfoEditView")
# Flask-AppBuilder's pages that change something also when they are only read.
ACTING = ("action", "delete")


class Accounts:
    """The auth manager's own application below the API server.

    :param routes: the API server's.
    """

    def __init__(self, routes: list[BaseRoute]) -> None:
        self._mounts = [
            route
            for route in routes
            if isinstance(route, Mount) and route.path.rstrip("/") == AUTH_MANAGER_FASTAPI_APP_PREFIX
        ]

    def check(self, scope: Scope) -> None:
        """Refuse a change of accounts.

        :raises NotApproved: a roster is set, and the request is about more than one's own password.
        """
        if not settings().roster:
            return
        for mount in self._mounts:
            match, child = mount.matches(scope)
            if match is Match.FULL and not _harmless(mount.app, {**scope, **child}):
                raise NotApproved(
                    "Accounts are not managed here while a roster says who has which role.",
                    hint="Whoever runs the host does it: `airflow users …`. Your own password: in your profile.",
                )


def _harmless(app: Any, scope: Scope) -> bool:
    for route in getattr(app, "routes", []):
        match, child = route.matches(scope)
        if match is not Match.FULL:
            continue
        if isinstance(route, Mount):
            return _harmless_page(getattr(route.app, "app", None), {**scope, **child})
        return scope["method"] in READING or endpoint_name(route).startswith(OWN)
    return True  # no such route: the auth manager says so itself


def _harmless_page(flask: Any, scope: Scope) -> bool:
    """The same for Flask-AppBuilder's pages, which have a router of their own."""
    if not hasattr(flask, "url_map"):
        return scope["method"] in READING
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    try:
        endpoint, _ = flask.url_map.bind("airlock.invalid").match(path, method=scope["method"])
    except RequestRedirect:
        return True
    except HTTPException:
        return True  # no such page
    acting = endpoint.rpartition(".")[2] in ACTING or scope["method"] not in READING
    return not acting or endpoint.startswith(OWN_VIEWS)
