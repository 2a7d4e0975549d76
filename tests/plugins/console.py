"""Who signs in to the Gates pages, and what Airflow would say of them."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.api_fastapi.core_api.security import get_user
from starlette.testclient import TestClient

from airlock.governance.policy import GatePolicy, Rework, Stage
from airlock.plugins.console import desk, pages, readers, requests
from airlock.plugins.console.app import console
from airlock.plugins.console.runs import RunFacts
from tests.governed import Governed, governed, home

__all__ = ["governed", "home"]

POLICY = GatePolicy(
    stages=[Stage(roles=["data_engineer"])],
    minimum_age=0.0,
    checklist={"looked": "I looked at the <b>samples</b>"},
    rework={"Clean again": Rework(dag="digits_data", step="clean")},
)
ROLES = {"dora": ("data_engineer",), "vera": ("model_validator",), "root": ("Admin",)}
SignIn = Callable[[str], TestClient]


class Directory:
    """What the auth manager and Airflow's database would say."""

    def __init__(self) -> None:
        self.unreadable: set[str] = set()
        self.submitter: list[str] = ["sam"]
        self.resumed: list[Any] = []
        self.run: RunFacts | None = RunFacts(started_by="sam", rework={}, note="", tasks=[])

    def people_of(self, *_arguments: Any) -> dict[str, list[str]]:
        return {"submitter": self.submitter, "trainer": [], "labeler": []}

    def is_authorized_dag(self, *, method: str, details: Any, user: Any, **_more: Any) -> bool:
        return details.id not in self.unreadable and not (method == "PUT" and user.get_name() == "guest")


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Directory:
    made = Directory()
    monkeypatch.setattr(readers, "get_auth_manager", lambda: made)
    monkeypatch.setattr(readers, "DagModel", SimpleNamespace(get_team_name=lambda _dag: None))
    monkeypatch.setattr(desk, "people", lambda: ROLES)
    monkeypatch.setattr(desk, "barred", lambda *_: [])
    for module in (desk, requests):
        monkeypatch.setattr(module, "people_of", made.people_of)
    monkeypatch.setattr(requests, "resume", made.resumed.append)
    monkeypatch.setattr(pages, "run_facts", lambda *_: made.run)
    return made


@pytest.fixture
def sign_in(governed: Governed, directory: Directory) -> Iterator[SignIn]:
    """Give a client as whoever is named."""
    requests.answers.cache_clear()

    def client(name: str) -> TestClient:
        console.dependency_overrides[get_user] = lambda: SimpleNamespace(get_name=lambda: name)
        return TestClient(console)

    yield client
    console.dependency_overrides.clear()
    requests.answers.cache_clear()


def listed(client: TestClient, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/gates/requests", params=query).json()
    return found
