"""Who asks: tokens through Airflow, and roles from whichever auth manager runs and from the roster."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from starlette.requests import Request

from airlock import settings as settings_module
from airlock.errors import NotApproved, UserError
from airlock.plugins.identity import directory, identify, known_roles, people
from tests.governed import home

__all__ = ["home"]


class Known:
    """An auth manager's people.

    :param knows_roles: whether it can hold Airlock's roles.
    """

    def __init__(self, roles: Mapping[str, Iterable[str]], *, knows_roles: bool = True) -> None:
        self.knows_roles = knows_roles
        self._roles = roles

    def roles(self) -> Mapping[str, Iterable[str]]:
        return self._roles


def asking(*headers: tuple[bytes, bytes]) -> Request:
    return Request({"type": "http", "headers": list(headers)})


@pytest.fixture
def roster(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = home / "roster.json"
    path.write_text(json.dumps({"vera": ["model_validator"], "dora": ["data_engineer"]}))
    monkeypatch.setenv("AIRLOCK_ROSTER", str(path))
    settings_module.settings.cache_clear()
    return path


class TestIdentify:
    @pytest.mark.parametrize("headers", [(), ((b"authorization", b"Basic ZG9yYTpkb3Jh"),), ((b"cookie", b"other=1"),)])
    def test_a_request_without_a_token_is_nobodys(self, headers: Any) -> None:
        with pytest.raises(NotApproved, match=r"Nobody is signed in: Not authenticated.*Sign in"):
            anyio.run(identify, asking(*headers))

    @pytest.mark.parametrize(
        "headers",
        [((b"authorization", b"bearer forged"),), ((b"cookie", b"_token=forged"),)],
        ids=["header", "cookie"],
    )
    def test_a_token_is_read_wherever_airflow_reads_it(self, headers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        read: list[str | None] = []

        async def resolve(token: str | None) -> SimpleAuthManagerUser:
            read.append(token)
            return SimpleAuthManagerUser(username="dora", role="admin")

        monkeypatch.setattr("airlock.plugins.identity.resolve_user_from_token", resolve)
        person = anyio.run(identify, asking(*headers))
        assert (read, person.name, person.id) == (["forged"], "dora", "dora")
        assert person.roles == (), "roles are asked for when they count, not read from a token"


@pytest.mark.usefixtures("home")
class TestWithoutRoster:
    def test_roles_are_the_auth_managers(self) -> None:
        assert people(Known({"vera": {"model_validator", "Viewer"}, "eve": []})) == {
            "vera": ("Viewer", "model_validator"),
            "eve": (),
        }

    def test_an_auth_manager_that_cannot_hold_them_needs_one(self) -> None:
        with pytest.raises(UserError, match="AIRLOCK_ROSTER cannot be read"):
            people(Known({"vera": ["user"]}, knows_roles=False))


@pytest.mark.usefixtures("roster")
class TestWithRoster:
    def test_a_role_that_whoever_administers_airflow_gave_away_is_not_enough(self) -> None:
        assert people(Known({"eve": ["Admin", "model_validator"]})) == {"eve": ("Admin",)}

    def test_nor_is_one_that_the_auth_manager_took_away(self) -> None:
        assert people(Known({"vera": ["Viewer"]})) == {"vera": ("Viewer",)}

    def test_both_together_count(self) -> None:
        assert people(Known({"vera": ["model_validator"]})) == {"vera": ("model_validator",)}

    def test_it_gives_the_roles_where_the_auth_manager_has_none(self) -> None:
        assert people(Known({"vera": ["user"], "eve": ["admin"]}, knows_roles=False)) == {
            "vera": ("model_validator", "user"),
            "eve": ("admin",),
        }

    def test_whoever_cannot_sign_in_has_none(self) -> None:
        assert known_roles(Known({"vera": ["model_validator"]})) == {"vera": ["model_validator"]}

    def test_one_that_cannot_be_read_lets_nobody_in(self, roster: Path) -> None:
        roster.write_text("[]")
        with pytest.raises(UserError, match="cannot be read"):
            people(Known({"vera": ["model_validator"]}))


class TestDirectory:
    def test_an_auth_manager_without_an_adapter_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Foreign:
            """An auth manager Airlock has never heard of."""

        monkeypatch.setattr("airlock.plugins.identity.get_auth_manager", Foreign)
        with pytest.raises(UserError, match=r"the auth manager Foreign.*entry point in airlock\.auth"):
            directory()
