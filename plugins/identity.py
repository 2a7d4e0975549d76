"""Who asks, and which roles people have now: from whichever auth manager runs, and the roster when there is one."""

from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol

import msgspec
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.core_api.security import resolve_user_from_token
from fastapi import HTTPException
from starlette.requests import Request

from airlock.errors import NotApproved, UserError
from airlock.governance.people import read_people
from airlock.governance.roles import ROLES
from airlock.settings import settings

ADAPTERS = "airlock.auth"
"""Entry point group: name of an auth manager class to a :class:`Directory` class."""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A signed-in user.

    :param name: the auth manager's name for the user; likewise ``id``.
    :param roles: names of the roles the user has at this moment.
    """

    name: str
    roles: tuple[str, ...]
    id: str = ""


class Directory(Protocol):
    """The small adapter to an auth manager: what an answer cannot be checked without."""

    knows_roles: bool
    """Whether the auth manager can hold Airlock's roles; if not, the roster gives them."""

    def roles(self) -> Mapping[str, Iterable[str]]:
        """Name to roles of everybody who can sign in, asked now, not remembered."""


class FabDirectory:
    """Users and roles of the FAB auth manager's database; deactivated users have none."""

    knows_roles = True

    def roles(self) -> Mapping[str, Iterable[str]]:
        from airflow.providers.fab.auth_manager.models import User
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            users = session.scalars(select(User).where(User.active.is_(True))).unique().all()
            return {user.username: _fab_roles(user) for user in users}


class SimpleDirectory:
    """Users of the Simple auth manager, whose roles are fixed: Airlock's come from the roster."""

    knows_roles = False

    def roles(self) -> Mapping[str, Iterable[str]]:
        from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

        return {user.username: filter(None, [user.role]) for user in SimpleAuthManager.get_users()}


def directory() -> Directory:
    """Return the adapter to the configured auth manager.

    :raises UserError: there is none for it.
    """
    known: dict[str, type[Directory]] = {"FabAuthManager": FabDirectory, "SimpleAuthManager": SimpleDirectory}
    names = [base.__name__ for base in type(get_auth_manager()).__mro__]
    for name in names:
        for point in entry_points(group=ADAPTERS, name=name):
            known[name] = point.load()
        if name in known:
            return known[name]()
    raise UserError(
        f"Airlock cannot ask the auth manager {names[0]} for roles.", hint=f"Add an entry point in {ADAPTERS}."
    )


def people(source: Directory | None = None) -> dict[str, tuple[str, ...]]:
    """Name to roles of everybody who can sign in now.

    With a roster (``AIRLOCK_ROSTER``) nobody has one of Airlock's roles that it does not name too: then a role given
    in Airflow, by whoever administers it, is not enough.

    :param source: whom to ask, by default the configured auth manager.
    :raises UserError: the roster cannot be read, or there is no adapter to the auth manager.
    """
    asked = source or directory()
    roster = _roster(required=not asked.knows_roles)
    return {name: _counted(set(roles), roster, name, asked.knows_roles) for name, roles in asked.roles().items()}


def known_roles(source: Directory | None = None) -> dict[str, list[str]]:
    """Name to those of Airlock's roles that people have now; whoever has none is left out."""
    having = {name: sorted(set(roles) & set(ROLES)) for name, roles in people(source).items()}
    return {name: roles for name, roles in having.items() if roles}


async def identify(request: Request) -> Person:
    """Return the person behind a request's bearer token or session cookie; without roles, see :func:`people`.

    :raises NotApproved: there is none, or the token is expired or forged.
    """
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    token = credentials if scheme.lower() == "bearer" else request.cookies.get(COOKIE_NAME_JWT_TOKEN)
    try:
        user = await resolve_user_from_token(token)
    except HTTPException as error:
        raise NotApproved(f"Nobody is signed in: {error.detail}.", hint="Sign in and answer again.") from error
    return Person(name=user.get_name(), id=str(user.get_id()), roles=())


def _counted(roles: set[str], roster: Mapping[str, Iterable[str]] | None, name: str, known: bool) -> tuple[str, ...]:
    if roster is None:
        return tuple(sorted(roles))
    listed = set(roster.get(name, ())) & set(ROLES)
    return tuple(sorted((roles - set(ROLES)) | (roles & listed if known else listed)))


def _roster(*, required: bool) -> Mapping[str, Iterable[str]] | None:
    path = settings().roster
    found = read_people(path)
    if found is None and (path or required):
        raise UserError(f"The roster {path or 'AIRLOCK_ROSTER'} cannot be read.", hint='It holds {"name": ["role"]}.')
    return found


def _fab_roles(user: Any) -> set[str]:
    groups = [role.name for group in user.groups for role in group.roles]
    return {role.name for role in user.roles} | set(groups)
