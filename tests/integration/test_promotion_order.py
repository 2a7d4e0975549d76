"""Approved releases while the scheduler is killed again and again: each is deployed exactly once, in order."""

import time
from collections import Counter
from contextlib import suppress

import msgspec
import psutil
import pytest

from airlock.governance.policy import GatePolicy, read_gates
from airlock.launcher.adoption import host_authority
from airlock.launcher.layout import Layout
from airlock.launcher.stack import up
from airlock.launcher.starting import process_of
from airlock.references import Artifact
from airlock.stores.database import open_database
from airlock.stores.gates import GateRequests
from airlock.stores.layers import open_layers
from airlock.stores.ledger import Ledger
from airlock.stores.queue import PromotionQueue
from tests.governed import Governed
from tests.integration.conftest import DAGS, Stack
from tests.integration.releases import USE_CASE, Releases

pytestmark = pytest.mark.integration

QUEUE = "orders/deployment"
PROMOTION, DEPLOYMENT = "orders_promotion", "orders_deployment"


class Line:
    """Releases on their way from approval to deployment."""

    def __init__(self, stack: Stack, governed: Governed) -> None:
        self.stack, self.governed = stack, governed
        self.admin = stack.person("Admin")
        self.releases = Releases(stack.settings)
        self.policy: GatePolicy = read_gates(DAGS / USE_CASE / "gates.json").gates["release"]
        self.sent: list[str] = []

    def send(self) -> None:
        """Approve one more release and start its promotion."""
        release = self.releases.make()
        self.approve(release)
        self.admin.trigger(PROMOTION, {"manifest": msgspec.to_builtins(release)})
        self.sent.append(release.digest)

    def approve(self, release: Artifact) -> None:
        """What the guard leaves when a DevOps engineer approves."""
        where = {"use_case": USE_CASE, "gate": "release", "run": release.digest, "evidence": release.digest}
        request = self.governed.file(self.policy, release, **where)
        self.governed.decide(request, user="otto", roles=["devops_engineer"])
        self.governed.close(request, "approved", user="otto")

    def deployed(self) -> list[str]:
        """Manifests of the deployments on record, in their order."""
        records = Ledger(self.governed.database).records()
        return [r.body["manifest"] for r in records if r.kind == "deployment" and r.use_case == USE_CASE]

    def queued(self) -> list[tuple[str, str, str]]:
        """Manifest, state and run of every item, in the order of the queue."""
        with self.governed.database.transaction() as cursor:
            cursor.execute("SELECT manifest, state, run FROM airlock.promotion WHERE queue = %s ORDER BY id", (QUEUE,))
            return [(row["manifest"], row["state"], row["run"]) for row in cursor.fetchall()]

    def wanted(self) -> list[str]:
        """Manifests in the order in which the target was told to serve them, repetitions included."""
        with self.governed.database.transaction() as cursor:
            cursor.execute(
                "SELECT manifest FROM airlock.deployment WHERE use_case = %s ORDER BY generation", (USE_CASE,)
            )
            return [row["manifest"] for row in cursor.fetchall()]

    def states(self) -> Counter[str]:
        """How many runs of both DAGs are in which state."""
        pages = (
            self.admin._json("GET", f"/dags/{dag}/dagRuns", params={"limit": "100"}) for dag in (PROMOTION, DEPLOYMENT)
        )
        return Counter(str(run["state"]) for page in pages for run in page["dag_runs"])

    def settled(self, deadline: float) -> Counter[str]:
        """Wait until every run has ended, and return how many ended how."""
        while set(states := self.states()) - {"success", "failed"}:
            assert time.monotonic() < deadline, f"{states=}"
            time.sleep(1)
        return states

    def wait_for(self, count: int, deadline: float) -> None:
        """Wait until so many are deployed."""
        while len(self.deployed()) < count:
            assert time.monotonic() < deadline, f"{self.deployed()=} {self.queued()=} {self.states()=}"
            time.sleep(0.5)


def restart_scheduler(stack: Stack) -> None:
    """Kill the scheduler with its workers and the tasks they run, and start it again as ``airlock up`` does."""
    scheduler = process_of("scheduler", Layout(stack.home))
    while members := scheduler.members():
        for process in members:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.05)
    port = int(stack.settings.airflow.rpartition(":")[2])
    up(stack.home, port_base=port, dags=DAGS)


class Signing(Governed):
    """What tests of gates stand on, in a running stack: whoever runs the host can sign."""

    def __init__(self, stack: Stack) -> None:
        host = host_authority(stack.settings)
        self.database, self.guard, self.signer = open_database(stack.settings.database), host.database, host.signer
        self.artifacts, self.keys = open_layers(stack.settings), stack.settings.public_keys
        self.ledger, self.requests = Ledger(self.guard), GateRequests(self.database)
        self.queue = PromotionQueue(self.database)


@pytest.mark.parametrize(
    ("count", "restarts"), [(4, 1), pytest.param(50, 5, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)
def test_each_release_is_deployed_once_and_in_order(stack: Stack, count: int, restarts: int) -> None:
    started = time.monotonic()
    line, deadline = Line(stack, Signing(stack)), started + 60 * restarts + 30 * count + 120
    for _ in range(count):
        line.send()
    for number in range(1, restarts + 1):
        line.wait_for(number * count // (restarts + 1), deadline)
        restart_scheduler(stack)
    line.wait_for(count, deadline)
    seconds = time.monotonic() - started
    queued, runs = line.queued(), line.settled(deadline)
    print(f"\n{count} releases, {restarts} scheduler restarts in {seconds:.0f} s; runs {dict(runs)}")
    assert sorted(manifest for manifest, _, _ in queued) == sorted(line.sent), "each is queued once"
    order = [manifest for manifest, _, _ in queued]
    assert line.deployed() == order, "each is on record as deployed once, in the order of the queue"
    assert line.wanted() == order, "the target was told to serve each once, in the order of the queue"
    assert {state for _, state, _ in queued} == {"finished"}
    assert len({run for _, _, run in queued}) == count, "each had a run of its own"
    assert "failed" not in runs
