"""A machine with a reconciler on it, for tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from airlock.deployment.client import ModelClient
from airlock.governance.policy import GatePolicy, Rework, Stage
from airlock.references import Artifact
from airlock.settings import Settings
from airlock.stores.artifacts import open_artifacts
from airlock.stores.database import Database
from airlock.stores.deployments import Deployment, Deployments
from airlock.stores.gates import GateRequest
from tests.governed import NUMBERS, Governed

Wait = Callable[..., float]
COMPRESS_AGAIN = "Compress again"
POLICY = GatePolicy(
    stages=[Stage(roles=["devops_engineer"])],
    rework={COMPRESS_AGAIN: Rework(dag="shapes_deployment", step="compress")},
)


class Machine:
    """A machine with a reconciler on it, and the people who decide what it may serve.

    :param settings: of this test, with a serving port of its own.
    :param guard: the database as the guard's role.
    """

    def __init__(self, settings: Settings, database: Database, guard: Database, wait: Wait) -> None:
        self.settings = settings
        self.database = database
        self.governed = Governed(database, guard, open_artifacts(settings.artifacts), Path(settings.home))
        self.deployments = Deployments(database)
        self.wait = wait
        self.process: subprocess.Popen[bytes] | None = None
        self.log = Path(settings.home) / "reconciler.log"

    def start(self) -> int:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "airlock.deployment.reconciler"]
            environment = os.environ | self.settings.environment()
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self.wait(self.answers, seconds=60, what="the gateway answers")
        return self.process.pid

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(30)

    def answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(self.settings.serving, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def ask(self, release: Artifact, use_case: str = "shapes", policy: GatePolicy = POLICY) -> GateRequest:
        """File a request about a release."""
        shown = "sha256:" + "e" * 64
        run = f"run-{next(NUMBERS)}"
        return self.governed.file(
            policy, release, use_case=use_case, gate="release", task="release_gate", run=run, evidence=shown
        )

    def approve(self, release: Artifact, use_case: str = "shapes", approved: bool = True) -> str:
        """Ask and decide, or reject; return the hash of the record that closes the request."""
        return self.answer(self.ask(release, use_case), approved)

    def answer(self, request: GateRequest, approved: bool = True) -> str:
        """Decide about a request; return the hash of the record that closes it."""
        if approved:
            self.governed.decide(request, roles=["devops_engineer"])
            return self.governed.close(request, "approved").hash
        self.governed.decide(request, COMPRESS_AGAIN, roles=["devops_engineer"])
        return self.governed.close(request, "rejected", reason=COMPRESS_AGAIN).hash

    def want(self, release: Artifact, use_case: str = "shapes") -> int:
        return self.deployments.want(use_case, "local", release.digest, "decision " + release.digest[-6:])

    def observed(self) -> Deployment:
        found = self.deployments.observed("shapes", "local")
        assert found
        return found

    def wait_state(self, state: str, seconds: float = 60) -> Deployment:
        self.wait(lambda: self.observed().state == state, seconds=seconds, what=f"state {state}")
        return self.observed()

    def serves(self) -> str | None:
        with ModelClient(f"{self.settings.serving}/shapes") as client:
            return client.manifest()

    def wait_served(self, release: Artifact, seconds: float = 60) -> float:
        return self.wait(lambda: self.serves() == release.digest, seconds=seconds, what="the release is served")

    def servers(self) -> list[psutil.Process]:
        assert self.process
        return psutil.Process(self.process.pid).children(recursive=True)
