"""Many gates answered by many clients as early as the guard allows: none lost, none stuck, each counted once."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any

import httpx
import msgspec
import pytest

from airlock.demo.airflow_api import AirflowApi
from airlock.governance.book import Book
from airlock.governance.manifest import DataManifest, put
from airlock.references import DatasetVersion, LabelSet
from airlock.stores.database import open_database
from airlock.stores.gates import GateRequest, GateRequests
from airlock.stores.layers import open_layers
from airlock.stores.ledger import Ledger
from tests.integration.conftest import Stack

pytestmark = pytest.mark.integration

ROLES = ("data_engineer", "model_validator")
TRIES = 2
"""How many clients race for each gate."""
PAUSE, PATIENCE = 0.25, 300.0
DONE = ("success", "failed", "upstream_failed", "skipped", "removed")


class Storm:
    """A run with many gates, and the clients that answer them."""

    def __init__(self, stack: Stack, gates: int, clients: int) -> None:
        self.admin = stack.person("Admin")
        self.requests = GateRequests(open_database(stack.settings.database))
        self.stack, self.gates = stack, gates
        people = cycle(stack.person(role) for role in ROLES)
        self.clients = [next(people) for _ in range(clients)]
        self.run = self.admin.trigger("storm", {"manifests": [self._manifest() for _ in range(gates)]})
        self.replies: Counter[int] = Counter()
        self.accepted: list[int] = []
        self._told = threading.Lock()

    def answer(self, number: int, deadline: float) -> None:
        """Be one client: answer its share of the gates, each again and again until somebody's answer was taken."""
        mine = [index for index in range(self.gates) if (index - number) % len(self.clients) < TRIES]
        while mine:
            assert time.monotonic() < deadline, f"client {number} was not let in to gates {mine}"
            mine = [index for index in mine if not self._answered(self.clients[number], index)]
            time.sleep(PAUSE)

    def _answered(self, who: AirflowApi, index: int) -> bool:
        reply = self._send(who, index)
        with self._told:
            self.replies[reply.status_code] += 1
            if reply.status_code == 200:
                self.accepted.append(index)
        if reply.status_code in (403, 409):  # too early, or somebody else was faster
            asked = self.requests.find("storm", self.run, "storm_gate", index)
            return asked is not None and self.requests.state(asked.id) != "open"
        assert reply.status_code in (200, 404), reply.text
        return reply.status_code == 200

    def _send(self, who: AirflowApi, index: int) -> httpx.Response:
        body = {"chosen_options": ["Approve"], "params_input": {"comment": f"{index}"}}
        path = f"/dags/storm/dagRuns/{self.run}/taskInstances/storm_gate/{index}/hitlDetails"
        return who.client.patch(path, json=body, timeout=PATIENCE)

    def tasks(self) -> list[dict[str, Any]]:
        """The gate tasks as Airflow has them."""
        path = f"/dags/storm/dagRuns/{self.run}/taskInstances"
        listed = self.admin._json("GET", path, params={"task_id": "storm_gate", "limit": "200"})
        return [task for task in listed["task_instances"] if task["map_index"] >= 0]

    def ended(self, deadline: float) -> list[dict[str, Any]]:
        """Wait until every gate task has ended, and return them."""
        while len(tasks := self.tasks()) < self.gates or any(task["state"] not in DONE for task in tasks):
            assert time.monotonic() < deadline, f"stuck: {Counter(task['state'] for task in tasks)}"
            time.sleep(1)
        return tasks

    def _manifest(self) -> dict[str, Any]:
        store = open_layers(self.stack.settings)
        some = store.put(b"something")
        manifest = DataManifest(
            use_case="storm",
            classes=["calm", "gale"],
            dataset=DatasetVersion(name="storm", version=time.time_ns(), digest="sha256:d", rows=2),
            labels=LabelSet(digest="sha256:l", dataset="sha256:d", rows=2),
            split=some,
            report=some,
            dropped=some,
            counts={"train": 1, "test": 1},
        )
        document: dict[str, Any] = msgspec.to_builtins(put(store, manifest))
        return document


@pytest.mark.parametrize(
    ("gates", "clients"), [(12, 6), pytest.param(100, 20, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
def test_no_answer_of_a_storm_is_lost_stuck_failed_or_counted_twice(stack: Stack, gates: int, clients: int) -> None:
    started = time.monotonic()
    storm, deadline = Storm(stack, gates, clients), started + 10 * gates + 120
    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(storm.answer, number, deadline) for number in range(clients)]:
            done.result()
    answered = time.monotonic() - started
    tasks = storm.ended(deadline)
    ledger = Ledger(open_database(stack.settings.database))
    book = Book.open(ledger, stack.settings.public_keys)
    asked = storm.requests.of_run("storm", storm.run)
    retried = [task["map_index"] for task in tasks if task["try_number"] > 1]
    print(
        f"\n{gates} gates, {clients} clients: all answered after {answered:.0f} s, ended after"
        f" {time.monotonic() - started:.0f} s; replies {dict(storm.replies)}; retried after an answer {len(retried)}"
    )
    assert Counter(task["state"] for task in tasks) == {"success": gates}
    assert sorted(storm.accepted) == list(range(gates)), "every gate has exactly one client whose answer was taken"
    assert Counter(request.map_index for request in asked) == Counter(range(gates)), "asked once each"
    assert all(counted(book, request) == (1, "approved") for request in asked)


def counted(book: Book, request: GateRequest) -> tuple[int, str]:
    """How many decisions a request has, and how it ended."""
    closing = book.closing(request.id)
    return len(book.decisions[request.id]), closing[0].verdict if closing else "open"
