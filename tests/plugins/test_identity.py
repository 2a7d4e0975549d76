"""Who asks: tokens through Airflow, and roles from whichever auth manager runs."""

from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from starlette.requests import Request

from airlock.errors import NotApproved
from airlock.plugins.identity import identify, roles_of


def asking(*headers: tuple[bytes, bytes]) -> Request:
    return Request({"type": "http", "headers": list(headers)})


@pytest.mark.parametrize("headers", [(), ((b"authorization", b"Basic ZG9yYTpkb3Jh"),), ((b"cookie", b"other=1"),)])
def test_a_request_without_a_token_is_nobodys(headers: Any) -> None:
    with pytest.raises(NotApproved, match=r"Nobody is signed in: Not authenticated.*Sign in"):
        anyio.run(identify, asking(*headers))


@pytest.mark.parametrize(
    "headers", [((b"authorization", b"bearer forged"),), ((b"cookie", b"_token=forged"),)], ids=["header", "cookie"]
)
def test_a_token_is_read_wherever_airflow_reads_it(headers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str | None] = []

    async def resolve(token: str | None) -> SimpleAuthManagerUser:
        read.append(token)
        return SimpleAuthManagerUser(username="dora", role="data_engineer")

    monkeypatch.setattr("airlock.plugins.identity.resolve_user_from_token", resolve)
    person = anyio.run(identify, asking(*headers))
    assert (read, person.name, person.roles) == (["forged"], "dora", ("data_engineer",))


class TestRoles:
    def test_of_a_user_of_the_fab_auth_manager(self) -> None:
        roles = [SimpleNamespace(name="model_validator"), SimpleNamespace(name="data_engineer")]
        assert roles_of(SimpleNamespace(roles=roles)) == ("data_engineer", "model_validator")
        assert roles_of(SimpleNamespace(roles=[])) == ()

    def test_of_a_user_of_the_simple_auth_manager(self) -> None:
        assert roles_of(SimpleAuthManagerUser(username="dora", role="admin")) == ("admin",)
        assert roles_of(SimpleAuthManagerUser(username="dora", role=None)) == ()

    def test_of_a_user_who_has_no_such_thing(self) -> None:
        assert roles_of(object()) == ()
