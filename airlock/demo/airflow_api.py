"""The part of Airflow's public REST API that the demo uses, as one signed-in user."""

import time
from typing import Any

import httpx

from airlock.errors import InfrastructureError, NotApproved, UserError

NOT_FOUND = 404
READING = 60.0
"""Seconds in which the DAG processor has read every DAG file once."""


class AirflowApi:
    """Airflow as one user sees it.

    :param base: URL of the API server.
    """

    def __init__(self, base: str, username: str, password: str) -> None:
        self.username = username
        reply = httpx.post(f"{base}/auth/token", json={"username": username, "password": password}, timeout=60)
        if reply.is_error:
            raise NotApproved(
                f"{username} cannot sign in to {base}: {reply.status_code}.",
                hint="See demo_users.json in AIRLOCK_HOME.",
            )
        token = reply.json()["access_token"]
        self.client = httpx.Client(
            base_url=f"{base}/api/v2", headers={"Authorization": f"Bearer {token}"}, timeout=60, follow_redirects=True
        )

    def wait_for(self, dag: str) -> None:
        """Wait until Airflow has read a DAG: just after its start it answers before.

        :raises UserError: it has not, a minute later.
        """
        deadline = time.monotonic() + READING
        while self._reply("GET", f"/dags/{dag}").status_code == NOT_FOUND:
            if time.monotonic() > deadline:
                raise UserError(
                    f"Airflow has no DAG {dag!r}, {READING:g} s after it was asked.",
                    hint="Read the import errors on Airflow's page of DAGs.",
                )
            time.sleep(0.5)

    def trigger(self, dag: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run and return its id."""
        self.wait_for(dag)
        body = {"logical_date": None, "conf": conf or {}}
        return str(self._json("POST", f"/dags/{dag}/dagRuns", json=body)["dag_run_id"])

    def run(self, dag: str, run: str) -> dict[str, Any]:
        """One run."""
        return self._json("GET", f"/dags/{dag}/dagRuns/{run}")

    def runs(self, dag: str, after: str) -> list[dict[str, Any]]:
        """Runs of a DAG that were queued after an ISO time, oldest first."""
        query = {"run_after_gte": after, "order_by": "run_after", "limit": "50"}
        return list(self._json("GET", f"/dags/{dag}/dagRuns", params=query)["dag_runs"])

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """Task instances of a run."""
        return list(
            self._json("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances", params={"limit": "100"})["task_instances"]
        )

    def xcom(self, dag: str, run: str, task: str, key: str) -> Any:
        """A value a task left, ``None`` when it left none."""
        path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/{key}"
        reply = self.client.get(path, params={"deserialize": "false"})
        return None if reply.status_code == 404 else self._checked(reply)["value"]

    def progress(self, dag: str, run: str, task: str) -> Any:
        """The latest progress of a running step, ``None`` when it said nothing yet."""
        path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/state-store/progress"
        reply = self.client.get(path)
        return reply.json().get("value") if reply.is_success else None

    def question(self, dag: str, run: str, task: str) -> dict[str, Any]:
        """What a waiting gate asks: subject, body, options."""
        return self._json("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/-1/hitlDetails")

    def answer(
        self, dag: str, run: str, task: str, option: str, comment: str, form: dict[str, Any] | None = None
    ) -> httpx.Response:
        """Answer a waiting gate; the reply may be a refusal.

        :param form: the checklist's items that are confirmed, and answers to the policy's questions.
        """
        body = {"chosen_options": [option], "params_input": {"comment": comment} | (form or {})}
        return self.client.patch(f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/-1/hitlDetails", json=body)

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        return self._checked(self._reply(method, path, **arguments))

    def _reply(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return self.client.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise InfrastructureError(
                f"Airflow does not answer {path}: {error}.", hint="See `airlock status`."
            ) from error

    def _checked(self, reply: httpx.Response) -> dict[str, Any]:
        if reply.is_error:
            raise UserError(
                f"Airflow refused {self.username} {reply.request.method} {reply.request.url.path}: "
                f"{reply.status_code} {reply.text[:300]}."
            )
        answer: dict[str, Any] = reply.json()
        return answer
