"""The API server is killed between an answer and its record: no decision is lost, none doubled, none invented."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from signal import SIGKILL

import httpx
import msgspec
import psycopg2
import pytest

from airlock.governance.evidence import evidence, question
from airlock.governance.policy import APPROVE, GatePolicy, Rework, Stage
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.stores.gates import GateRequest
from tests.conftest import OWNER, PASSWORD
from tests.governed import Governed, governed, home
from tests.integration.airflow_rows import Parked
from tests.integration.mortal_server import POINTS, MortalServer

__all__ = ["governed", "home"]

pytestmark = pytest.mark.integration

REWORK = {"Clean again": Rework(dag="digits_data", step="clean")}
ONE = GatePolicy(stages=[Stage(roles=["data_engineer"])], minimum_age=0.0, rework=REWORK, supersede=False)
TWO = GatePolicy(stages=[Stage(roles=["data_engineer"], quorum=2)], minimum_age=0.0, supersede=False)
AT_ONCE = 3
"""Answers under way at each kill: two by one person's word, one that needs a second."""
SIMPLE = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"


class Gate(msgspec.Struct, kw_only=True):
    """A gate whose task is parked in Airflow's database, and the option it is answered with."""

    request: GateRequest
    policy: GatePolicy
    option: str = APPROVE

    @property
    def path(self) -> str:
        at = self.request
        return f"/api/v2/dags/{at.dag}/dagRuns/{at.run}/taskInstances/{at.task}/-1/hitlDetails"


class Case:
    """Parked gates, the server that is killed, and what it left behind.

    :param airflow: DSN of Airflow's database.
    """

    def __init__(self, governed: Governed, server: MortalServer, gates: list[Gate], airflow: str, home: Path) -> None:
        self.governed, self.server, self.gates, self.airflow = governed, server, gates, airflow
        self._passwords = home / "passwords.json"
        self._tokens: dict[str, str] = {}

    def answer(self, gate: Gate, who: str = "dora") -> int:
        """Answer a gate; return the reply's status, 0 when there was none."""
        body = {"chosen_options": [gate.option], "params_input": {"comment": "Looked at it."}}
        headers = {"Authorization": f"Bearer {self._token(who)}"}
        try:
            return httpx.patch(f"{self.server.url}{gate.path}", json=body, headers=headers, timeout=60).status_code
        except httpx.TransportError:
            return 0

    def answer_together(self, gates: list[Gate]) -> list[int]:
        """Answer several gates at the same time."""
        self._token("dora")
        with ThreadPoolExecutor(len(gates)) as pool:
            return list(pool.map(self.answer, gates))

    def recorded(self, gate: Gate) -> Counter[str]:
        """How many decisions and closings the ledger has of a gate."""
        kinds = ((record.kind, record.body.get("request")) for record in self.governed.ledger.records())
        return Counter(kind for kind, request in kinds if request == gate.request.id and kind != "request")

    def taken(self, gate: Gate) -> bool:
        """Whether Airflow has an answer."""
        query = (
            "SELECT responded_at IS NOT NULL FROM hitl_detail JOIN task_instance ON id = ti_id"
            " WHERE dag_id = %s AND run_id = %s"
        )
        with closing(psycopg2.connect(self.airflow)) as link, link.cursor() as cursor:
            cursor.execute(query, (gate.request.dag, gate.request.run))
            row = cursor.fetchone()
        assert row is not None
        return bool(row[0])

    def unsettled(self) -> int:
        """How many answers written ahead have no known fate."""
        return len(self.governed.requests.unfinished())

    def _token(self, who: str) -> str:
        if who not in self._tokens:
            password = json.loads(self._passwords.read_text())[who]
            login = {"username": who, "password": password}
            self._tokens[who] = httpx.post(f"{self.server.url}/auth/token", json=login).json()["access_token"]
        return self._tokens[who]


@pytest.fixture
def case(
    governed: Governed,
    home: Path,
    postgres: EmbeddedPostgres,
    free_port: int,
    request: pytest.FixtureRequest,
) -> Iterator[Case]:
    """Park three gates for every kill in a real Airflow database; people sign in with the Simple auth manager."""
    name = f"airflow_{os.getpid()}_{free_port}"
    postgres.create_database(name, OWNER)
    dsn = postgres.dsn(OWNER, PASSWORD, name)
    environment = airflow_environment(dsn, home)
    gates = [filed(governed, number) for number in range(request.getfixturevalue("kills") * AT_ONCE)]
    rows = msgspec.json.encode([parked(governed, gate) for gate in gates])
    module = [sys.executable, "-m", "tests.integration.airflow_rows"]
    subprocess.run(module, input=rows, env=environment, check=True, timeout=300)
    with (home / "server.log").open("w") as log:
        server = MortalServer(environment, free_port, log)
        try:
            yield Case(governed, server, gates, dsn, home)
        finally:
            server.close()
            with postgres.connect() as link, link.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def airflow_environment(dsn: str, home: Path) -> dict[str, str]:
    """The environment of an API server that is the guard, with dora and dirk on the roster of data engineers."""
    roster = home / "roster.json"
    roster.write_text(json.dumps({"dora": ["data_engineer"], "dirk": ["data_engineer"]}))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return inherited | {
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": dsn.replace("postgresql://", "postgresql+psycopg2://", 1),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_ENABLED": "False",  # nothing is connected when the server is forked
        "AIRFLOW__CORE__AUTH_MANAGER": SIMPLE,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "dora:user,dirk:user",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a secret that outlives the server" * 2,
        "AIRLOCK_ROSTER": str(roster),
    }


def filed(governed: Governed, number: int) -> Gate:
    """File a request: of every three, one is approved, one rejected, and one needs two people."""
    policy, gate, option = [(ONE, "data", APPROVE), (ONE, "data", "Clean again"), (TWO, "pair", APPROVE)][number % 3]
    request = governed.file(policy, gate=gate, run=f"run-{number}", task=f"{gate}_gate")
    return Gate(request=request, policy=policy, option=option)


def parked(governed: Governed, gate: Gate) -> Parked:
    """What a gate's task has in Airflow's database while it waits."""
    asked = gate.request
    body = question(evidence(governed.artifacts, asked.manifest, ""), asked, gate.policy)
    return Parked(dag=asked.dag, run=asked.run, task=asked.task, body=body, options=gate.policy.options)


@pytest.mark.parametrize("kills", [len(POINTS), pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(3000)])])
def test_a_killed_server_loses_doubles_and_invents_no_decision(case: Case, kills: int) -> None:
    started, replies = time.monotonic(), Counter[str]()
    for number, point in zip(range(kills), itertools.cycle(POINTS)):
        gates = case.gates[number * AT_ONCE : (number + 1) * AT_ONCE]
        case.server.start(point)
        heard = case.answer_together(gates)
        assert case.server.wait_until_dead() == SIGKILL, point
        case.server.start()
        replies.update(check_after(case, point, gates, heard))
        finish(case, point, gates)
        case.server.kill()
    book = case.governed.book()
    approvals = [gate for gate in case.gates if gate.option == APPROVE]
    assert all(book.tally(gate.request.id).approved for gate in approvals)
    assert len(book.closings) == len(case.gates)
    seconds = time.monotonic() - started
    print(f"\n{kills} kills, {len(case.gates)} gates in {seconds:.0f} s; at the kill: {dict(replies)}")


def check_after(case: Case, point: str, gates: list[Gate], heard: list[int]) -> Iterator[str]:
    """Compare what clients heard, what Airflow took and what is on record, once the server is back."""
    assert case.unsettled() == 0, point
    for gate, status in zip(gates, heard, strict=True):
        found, taken, two = case.recorded(gate), case.taken(gate), gate.policy is TWO
        what = f"killed {point}: heard {status}, Airflow took it {taken}, on record {dict(found)}"
        assert status in (0, 200), what
        assert found["decision"] in ((1,) if status == 200 else (0, 1)), f"lost or doubled: {what}"
        assert found["closed"] == (0 if two else found["decision"]), what
        assert taken == (found["closed"] == 1), f"lost or invented: {what}"
        yield "acknowledged" if status == 200 else "recorded, not acknowledged" if found["decision"] else "not taken"


def finish(case: Case, point: str, gates: list[Gate]) -> None:
    """Answer what is still open, and what a second person must answer; nobody can answer twice."""
    for gate in gates:
        said_before = case.recorded(gate)["decision"]
        again = {True: {403, 409}, False: {200}}[said_before == 1]
        assert case.answer(gate) in again, f"killed {point}, answering again"
        if gate.policy is TWO:
            assert case.answer(gate, "dirk") == 200, f"killed {point}, the second person"
        people = 2 if gate.policy is TWO else 1
        assert case.recorded(gate) == {"decision": people, "closed": 1}, f"killed {point}, in the end"
        assert case.taken(gate)
