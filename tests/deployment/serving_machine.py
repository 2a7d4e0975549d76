"""A machine with a reconciler on it, for tests."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from airlock.deployment.client import ModelClient
from airlock.governance.decisions import Decision, decision_body
from airlock.governance.policy import GatePolicy
from airlock.governance.signing import Signer, create_keypair
from airlock.references import Artifact
from airlock.settings import Settings
from airlock.stores.database import Database
from airlock.stores.deployments import Deployment, Deployments
from airlock.stores.ledger import Ledger

Wait = Callable[..., float]
POLICY = GatePolicy(role="devops_engineer")


class Machine:
    """A machine with a reconciler on it.

    :param settings: of this test, with a serving port of its own.
    """

    def __init__(self, settings: Settings, database: Database, wait: Wait) -> None:
        self.settings = settings
        self.database = database
        self.deployments = Deployments(database)
        self.wait = wait
        self.signer = Signer(create_keypair(Path(settings.home) / "keys"))
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

    def approve(self, release: Artifact, use_case: str = "shapes", approved: bool = True) -> str:
        decision = Decision(
            request=release.digest[-12:],
            use_case=use_case,
            gate="release",
            manifest=release.digest,
            evidence="sha256:" + "e" * 64,
            policy=POLICY.digest,
            user="dora",
            roles=["devops_engineer"],
            option="Approve" if approved else "Compress again",
            approved=approved,
            comment="",
            time=time.time(),
        )
        return Ledger(self.database).append("decision", decision_body(decision), self.signer).hash

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
