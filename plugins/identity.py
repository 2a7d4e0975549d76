"""Who asks: the configured auth manager's user, and the roles that user has now."""

import msgspec
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.core_api.security import resolve_user_from_token
from fastapi import HTTPException
from starlette.requests import Request

from airlock.errors import NotApproved


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A signed-in user.

    :param name: the auth manager's name for the user.
    :param roles: names of the roles the user has at this moment.
    """

    name: str
    roles: tuple[str, ...]


async def identify(request: Request) -> Person:
    """Return the person behind a request's bearer token or session cookie.

    :raises NotApproved: there is none, or the token is expired or forged.
    """
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    token = credentials if scheme.lower() == "bearer" else request.cookies.get(COOKIE_NAME_JWT_TOKEN)
    try:
        user = await resolve_user_from_token(token)
    except HTTPException as error:
        raise NotApproved(f"Nobody is signed in: {error.detail}.", hint="Sign in and answer again.") from error
    return Person(name=user.get_name(), roles=roles_of(user))


def roles_of(user: object) -> tuple[str, ...]:
    """Roles of a FAB user (``roles``), a Simple auth manager's user (``role``), or none."""
    many = getattr(user, "roles", None)
    if many is not None:
        return tuple(sorted(str(getattr(role, "name", role)) for role in many))
    one = getattr(user, "role", None)
    return (str(one),) if one else ()
