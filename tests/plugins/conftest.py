"""A small application that answers as Airflow's does, behind the guard."""

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request
from starlette.testclient import TestClient

from airlock.errors import NotApproved
from airlock.governance.evidence import evidence, question
from airlock.plugins import answering, answers, guard, reconcile
from airlock.plugins.identity import Person
from airlock.plugins.questions import Place, Question
from airlock.stores.gates import GateRequest
from tests.governed import Governed, governed, home

__all__ = ["Api", "FakeGates", "api", "governed", "home"]

ENDPOINTS = {
    "PATCH /dagRuns/{dag_run_id}/taskInstances/{task_id}": "patch_task_instance",
    "PATCH /dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}": "patch_task_instance",
    "PATCH /dagRuns/{dag_run_id}/taskInstances": "bulk_task_instances",
    "PATCH /dagRuns/{dag_run_id}/taskGroupInstances/{group_id}": "patch_task_group_instances",
    "DELETE /dagRuns/{dag_run_id}/taskInstances/{task_id}": "delete_task_instance",
    "POST /clearTaskInstances": "post_clear_task_instances",
    "PATCH /dagRuns/{dag_run_id}": "patch_dag_run",
    "PATCH /dagRuns": "bulk_dag_runs",
    "DELETE /dagRuns/{dag_run_id}": "delete_dag_run",
    "DELETE ": "delete_dag",
    "POST /dagRuns/{dag_run_id}/clear": "clear_dag_run",
    "POST /clearDagRuns": "clear_dag_runs",
    "POST /clearPartitions": "clear_dag_run_partitions",
    "POST /dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries": "create_xcom_entry",
    "PATCH /dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries/{xcom_key:path}": "update_xcom_entry",
    "DELETE /dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries/{xcom_key:path}": "delete_xcom_entry",
    "PUT /dagRuns/{dag_run_id}/taskInstances/{task_id}/state-store/{key:path}": "set_task_state_store",
    "POST /dagRuns": "trigger_dag_run",
}


class FakeGates:
    """``digits_data.data_gate`` behind ``clean``, in the group ``end``: asks in ``run``, decided in ``past``."""

    def filed(self, dag: str, run: str | None = None) -> list[Any]:
        asked = dag == "digits_data" and run in ("run", "past", None)
        return [SimpleNamespace(task="data_gate")] if asked else []

    def tasks(self, dag: str, _run: str | None = None) -> set[str]:
        return {"data_gate"} if dag == "digits_data" else set()

    def asking(self, dag: str, run: str | None = None) -> set[str]:
        return {"data_gate"} if dag == "digits_data" and run in ("run", None) else set()

    def with_relatives(self, _dag: str, _run: str, tasks: set[str], *, upstream: bool, downstream: bool) -> set[str]:
        order = ["clean", "data_gate", "promote"]
        found = set(tasks)
        for task in tasks & set(order):
            place = order.index(task)
            found |= set(order[:place] if upstream else []) | set(order[place:] if downstream else [])
        return found

    def of_group(self, _dag: str, _run: str, group: str) -> set[str]:
        return {"data_gate", "promote"} if group == "end" else {"clean"}

    def says_approved(self, asset: int) -> bool:
        return asset == 1


class Api:
    """The application, what reached it, who can sign in, and what Airflow shows where."""

    def __init__(self, governed: Governed) -> None:
        self.governed = governed
        self.reached: list[Any] = []
        self.status = 200
        self.crashes = False
        self.people: dict[str, tuple[str, ...]] = {}
        self.questions: dict[Place, Question] = {}
        self.gates = FakeGates()
        self.app = FastAPI()
        self.app.include_router(self.routes(), prefix="/api/v2/dags/{dag_id}")
        self.app.add_api_route("/api/v2/assets/events", self._endpoint("create_asset_event"), methods=["POST"])
        self.app.add_middleware(guard.GateGuard)  # type: ignore[arg-type]
        self.client = TestClient(self.app, raise_server_exceptions=False)

    def routes(self) -> APIRouter:
        router = APIRouter()
        path = "/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails"

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

        for place, name in ENDPOINTS.items():
            method, _, rest = place.partition(" ")
            router.add_api_route(rest, self._endpoint(name), methods=[method])
        return router

    def _endpoint(self, name: str) -> Any:
        async def endpoint(request: Request) -> str:
            self.reached.append((await request.body()).decode())
            return "done"

        endpoint.__name__ = name
        return endpoint

    def ask(self, request: GateRequest, **changes: Any) -> GateRequest:
        """Show a request's question on Airflow's page, as its gate does."""
        policy = self.governed.book().policies[request.policy]
        text = question(evidence(self.governed.artifacts, request.manifest, request.champion), request, policy)
        shown = {"body": text, "options": policy.options, "state": "awaiting_input", "chosen": [], "by": ""} | changes
        self.questions[request.dag, request.run, request.task, request.map_index] = Question(**shown)
        return request

    def answer(self, option: str = "Approve", by: str = "dora:data_engineer", **changes: Any) -> httpx.Response:
        """Answer the data gate as ``name:role,role``."""
        name, _, roles = by.partition(":")
        self.people[name] = tuple(sorted(filter(None, roles.split(","))))
        run = changes.get("run", "run")
        path = changes.get("path", f"/api/v2/dags/digits_data/dagRuns/{run}/taskInstances/data_gate/-1/hitlDetails")
        if "content" in changes:
            sent: dict[str, Any] = {"content": changes["content"]}
        else:
            body = {"chosen_options": [option], "params_input": {"comment": changes.get("comment", "Fine.")}}
            sent = {"json": changes.get("body", body)}
        headers = {"X-Person": name, "Content-Type": "application/json"} | changes.get("headers", {})
        return self.client.patch(path, headers=headers, **sent)


async def fake_identify(request: Request) -> Person:
    """Believe the header, as nothing but a test may."""
    name = request.headers.get("x-person", "")
    if not name:
        raise NotApproved("Nobody is signed in.")
    return Person(name=name, id=f"id of {name}", roles=())


@pytest.fixture
def api(governed: Governed, monkeypatch: pytest.MonkeyPatch) -> Api:
    """Give the guarded application, with a signing key."""
    made = Api(governed)
    for module in (guard, answering):
        monkeypatch.setattr(module, "identify", fake_identify)
    for module in (answering, reconcile):
        monkeypatch.setattr(module, "question_at", lambda place: made.questions.get(place))
    monkeypatch.setattr(answers, "people", lambda: made.people)
    monkeypatch.setattr(guard.GateGuard, "gates", lambda _guard, _scope: made.gates)
    return made


def written_ahead(governed: Governed) -> list[str]:
    """States of the answers written ahead, oldest first."""
    with governed.database.transaction() as cursor:
        cursor.execute("SELECT state FROM airlock.gate_answer ORDER BY id")
        return [row["state"] for row in cursor.fetchall()]
