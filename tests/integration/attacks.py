"""What the attack suite stands on: a release that waits for its gate, more people, and the ways to get at things."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psycopg2

from airlock.demo.airflow_api import AirflowApi
from airlock.governance.book import Book
from airlock.governance.manifest import ReleaseManifest, load
from airlock.launcher.credentials import DemoUser, write_private
from airlock.launcher.environment import child_environment
from airlock.launcher.layout import Layout
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.references import Artifact
from airlock.stores.database import Database, open_database
from airlock.stores.gates import GateRequest, GateRequests
from airlock.stores.layers import open_layers
from airlock.stores.ledger import Ledger
from tests.integration.conftest import Stack

DAG, TASK = "attacked", "release_gate"
# Beside the demo's people: Airflow's own roles, and somebody whom Airflow gave a role that the roster does not know.
MORE = [("viola", "Viewer"), ("uma", "User"), ("opal", "Op"), ("mallory", "devops_engineer")]


class Target:
    """A run of the attacked use case whose release waits for a decision.

    :param stack: with the people who attack.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.database = open_database(stack.settings.database)
        self.requests = GateRequests(self.database)
        self.ledger = Ledger(self.database)
        self.keys = stack.settings.public_keys
        self.store = open_layers(stack.settings)
        self.people = {role: stack.person(role) for role in ("Admin", "data_engineer", "devops_engineer")}
        adding = _add_people(stack)
        self.run = self.people["data_engineer"].trigger(DAG)
        self._sign_in(adding)
        for gate in ("data_gate", TASK):
            self.wait(gate, "awaiting_input", 900)
        found = self.requests.find(DAG, self.run, TASK)
        assert found is not None
        self.request: GateRequest = found
        time.sleep(3.5)  # the gate's minimum age: earlier everybody is asked to wait
        self.instance = str(self.instances()[TASK]["id"])

    def _sign_in(self, adding: "subprocess.Popen[bytes]") -> None:
        said, _ = adding.communicate(timeout=240)
        assert adding.returncode == 0, said.decode()[-2000:]
        for user in msgspec.json.decode(_file(self.stack).read_bytes(), type=list[DemoUser]):
            api = AirflowApi(self.stack.settings.airflow, user.username, user.password)
            self.people[user.username if user.username == "mallory" else user.role] = api

    def person(self, role: str) -> AirflowApi:
        """Somebody with a role, signed in; ``mallory`` has one that the roster does not know."""
        if role not in self.people:
            self.people[role] = self.stack.person(role)
        return self.people[role]

    @property
    def release(self) -> dict[str, Any]:
        """The release manifest, as tasks hand it on."""
        size = len(self.store.read(self.request.manifest))
        found: dict[str, Any] = msgspec.to_builtins(Artifact(digest=self.request.manifest, size=size))
        return found

    @property
    def package(self) -> Artifact:
        return load(self.store, self.request.manifest, ReleaseManifest).package

    @property
    def at(self) -> str:
        """Path of the gate's task instance."""
        return f"/dags/{DAG}/dagRuns/{self.run}/taskInstances/{TASK}"

    def instances(self, dag: str = DAG, run: str = "") -> dict[str, dict[str, Any]]:
        """Task instances of a run by task."""
        return {str(task["task_id"]): task for task in self.people["Admin"].tasks(dag, run or self.run)}

    def wait(self, task: str, state: str, seconds: float = 120, dag: str = DAG, run: str = "") -> None:
        """Wait until a task is in a state."""
        wait_until(
            lambda: self.instances(dag, run).get(task, {}).get("state") == state, f"{dag}.{task} {state}", seconds
        )

    def book(self) -> Book:
        """The verified ledger."""
        return Book.open(self.ledger, self.keys)

    def still_asks(self) -> bool:
        """Whether the gate waits as if nothing had happened, and nothing of it is approved or served."""
        waits = self.instances()[TASK]["state"] == "awaiting_input"
        shown = self.people["Admin"].question(DAG, self.run, TASK)
        untouched = self.requests.state(self.request.id) == "open" and not shown["response_received"]
        return waits and untouched and self.deployments() == []

    def deployments(self) -> list[str]:
        """Manifests of the attacked use case that were ever ready to serve."""
        return self.column(
            "SELECT manifest FROM airlock.deployment JOIN airlock.observation USING (generation)"
            " WHERE use_case = %s AND ready IS NOT NULL",
            (DAG,),
        )

    def column(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """First column of what the application's role reads."""
        with closing(psycopg2.connect(self.stack.settings.database)) as link, link.cursor() as cursor:
            cursor.execute(query, values)
            return [row[0] for row in cursor.fetchall()]

    def raw(self, method: str, path: str, body: bytes = b"", role: str = "Admin", **headers: str) -> tuple[int, str]:
        """Send a request whose path nobody tidies up; return status and reply."""
        parts = urlsplit(self.stack.settings.airflow)
        token = str(self.person(role).client.headers["Authorization"])
        sent = {"Authorization": token, "Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        with closing(http.client.HTTPConnection(str(parts.hostname), parts.port or 80, timeout=60)) as link:
            link.request(method, path, body=body or None, headers=sent)
            reply = link.getresponse()
            return reply.status, reply.read().decode(errors="replace")

    @property
    def postgres(self) -> EmbeddedPostgres:
        """The stack's server, for a superuser."""
        port = int(self.database.address.partition(":")[2].partition("/")[0])
        return EmbeddedPostgres(Layout(self.stack.home).postgres, port)

    @contextmanager
    def copied_ledger(self) -> Iterator[Database]:
        """Give a copy of the ledger in a database of its own, which a superuser may change as they like."""
        with self.postgres.connect() as link, link.cursor() as cursor:
            cursor.execute("CREATE DATABASE attacked_copy")
        copy = open_database(self.postgres.admin_dsn("attacked_copy"))
        try:
            with copy.transaction() as cursor:
                cursor.execute("CREATE SCHEMA airlock")
                cursor.execute("CREATE TABLE airlock.ledger (seq bigint, record text, hash text, signature text)")
                for record in self.ledger.records():
                    values = (record.seq, record.text, record.hash, record.signature)
                    cursor.execute("INSERT INTO airlock.ledger VALUES (%s, %s, %s, %s)", values)
            yield copy
        finally:
            with self.postgres.connect() as link, link.cursor() as cursor:
                cursor.execute("DROP DATABASE attacked_copy WITH (FORCE)")


def wait_until(true: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)


def _file(stack: Stack) -> Path:
    return stack.home / "more_users.json"


def _add_people(stack: Stack) -> "subprocess.Popen[bytes]":
    """Add accounts as whoever runs the host does; Airflow itself refuses while there is a roster."""
    write_private(_file(stack), [DemoUser(name, role, f"{name}-{os.urandom(9).hex()}") for name, role in MORE])
    command = [sys.executable, "-m", "airlock.plugins.bootstrap", str(_file(stack))]
    environment = child_environment(stack.settings) | {"AIRFLOW_HOME": str(Layout(stack.home).airflow)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
