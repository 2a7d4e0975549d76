"""A small application that answers as Airflow's does, behind the guard."""

from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request
from starlette.testclient import TestClient

from airlock.errors import NotApproved
from airlock.plugins import guard
from airlock.plugins.answers import KEY_FILE
from airlock.plugins.identity import Person
from tests.governed import Governed, governed, home

__all__ = ["Api", "api", "governed", "home"]


class Api:
    """The application, and what reached it."""

    def __init__(self) -> None:
        self.reached: list[Any] = []
        self.status = 200
        self.crashes = False
        self.app = FastAPI()
        self.app.include_router(self.routes(), prefix="/api/v2")
        self.app.add_middleware(guard.GateGuard)  # type: ignore[arg-type]
        self.client = TestClient(self.app, raise_server_exceptions=False)

    def routes(self) -> APIRouter:
        router = APIRouter(prefix="/dags/{dag_id}/dagRuns/{dag_run_id}")
        path = "/taskInstances/{task_id}/{map_index}/hitlDetails"

        @router.get(path)
        async def get_hitl_detail(task_id: str) -> str:
            return task_id

        @router.patch(path)
        async def update_hitl_detail(task_id: str, request: Request, map_index: int) -> str:
            self.reached.append(await request.json())
            if self.crashes:
                raise RuntimeError("the power went")
            if self.status != 200:
                raise HTTPException(self.status, "no")
            return f"{task_id} {map_index}"

        @router.post("/clear")
        async def clear(request: Request) -> str:
            self.reached.append((await request.body()).decode())
            return "cleared"

        return router

    def answer(self, option: str = "Approve", by: str = "dora:data_engineer", **changes: Any) -> httpx.Response:
        """Answer the data gate as ``name:role,role``."""
        path = changes.get("path", "/api/v2/dags/digits_data/dagRuns/run/taskInstances/data_gate/-1/hitlDetails")
        body = {"chosen_options": [option], "params_input": {"comment": changes.get("comment", "Fine.")}}
        return self.client.patch(path, json=changes.get("body", body), headers={"X-Person": by})


async def fake_identify(request: Request) -> Person:
    """Believe the header, as nothing but a test may."""
    name, _, roles = request.headers.get("x-person", "").partition(":")
    if not name:
        raise NotApproved("Nobody is signed in.")
    return Person(name=name, roles=tuple(filter(None, roles.split(","))))


@pytest.fixture
def api(governed: Governed, monkeypatch: pytest.MonkeyPatch) -> Api:
    """Give the guarded application, with a signing key."""
    monkeypatch.setattr(guard, "identify", fake_identify)
    monkeypatch.setenv(KEY_FILE, str(governed.private_key))
    return Api()


def written_ahead(governed: Governed) -> list[str]:
    """States of the answers written ahead, oldest first."""
    with governed.database.transaction() as cursor:
        cursor.execute("SELECT state FROM airlock.gate_answer ORDER BY id")
        return [row["state"] for row in cursor.fetchall()]
