"""Real stores with people who decide: what tests of gates, of the guard and of promotions stand on."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from airlock import settings as settings_module
from airlock.governance.decisions import Decision, decision_body
from airlock.governance.manifest import DataManifest, put
from airlock.governance.policy import GatePolicy
from airlock.governance.signing import Signer, create_keypair
from airlock.references import Artifact, DatasetVersion, LabelSet
from airlock.settings import Settings
from airlock.stores.artifacts import ArtifactStore, open_artifacts
from airlock.stores.database import Database
from airlock.stores.gates import GateRequest, GateRequests
from airlock.stores.ledger import Ledger, Record
from airlock.stores.queue import PromotionQueue

NUMBERS = itertools.count(1)


class Governed:
    """The stores behind this process's settings, and a signer whose public key they know."""

    def __init__(self, database: Database, artifacts: ArtifactStore, private_key: Path) -> None:
        self.database = database
        self.artifacts = artifacts
        self.private_key = private_key
        self.signer = Signer(private_key)
        self.ledger = Ledger(database)
        self.requests = GateRequests(database)
        self.queue = PromotionQueue(database)

    def manifest(self) -> Artifact:
        """Store a data manifest unlike every other."""
        some = self.artifacts.put(b"something")
        manifest = DataManifest(
            use_case="digits",
            classes=["zero", "one"],
            dataset=DatasetVersion(name="digits", version=next(NUMBERS), digest="sha256:d", rows=1797),
            labels=LabelSet(digest="sha256:l", dataset="sha256:d", rows=1797),
            split=some,
            report=some,
            dropped=some,
            counts={"train": 1500, "test": 297},
        )
        return put(self.artifacts, manifest)

    def file(self, policy: GatePolicy, **changes: Any) -> GateRequest:
        """File a request of the gate ``data`` as ``digits_data.data_gate`` in the run ``run``."""
        fields = {
            "id": f"request-{next(NUMBERS)}",
            "use_case": "digits",
            "gate": "data",
            "dag": "digits_data",
            "run": "run",
            "task": "data_gate",
            "manifest": "sha256:" + "a" * 64,
            "evidence": "sha256:" + "b" * 64,
            "policy": msgspec.to_builtins(policy),
            "policy_digest": policy.digest,
            "created": 0.0,
        }
        return self.requests.open(GateRequest(**(fields | changes)))

    def decide(self, request: GateRequest, option: str = "Approve", **changes: Any) -> Record:
        """Append the signed decision of dora, a data engineer, about a request."""
        decision = Decision(
            request=request.id,
            use_case=request.use_case,
            gate=request.gate,
            manifest=request.manifest,
            evidence=request.evidence,
            policy=request.policy_digest,
            user="dora",
            roles=["data_engineer"],
            option=option,
            approved=option == "Approve",
            comment="Looked at it.",
            time=1.5,
        )
        return self.ledger.append("decision", decision_body(decision) | changes, signer=self.signer)

    def approve(self, manifest: Artifact, **changes: Any) -> Record:
        """File a request about a manifest and approve it."""
        request = self.file(GatePolicy(role="data_engineer"), manifest=manifest.digest)
        return self.decide(request, **changes)

    def recorded(self, kind: str) -> list[dict[str, Any]]:
        """Bodies of the ledger's records of a kind."""
        return [record.content for record in self.ledger.records() if record.kind == kind]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Point this process's settings at a folder of the test."""
    for name in Settings.__struct_fields__:
        monkeypatch.delenv(f"AIRLOCK_{name.upper()}", raising=False)
    monkeypatch.setenv("AIRLOCK_HOME", str(tmp_path))
    settings_module.settings.cache_clear()
    yield tmp_path
    settings_module.settings.cache_clear()


@pytest.fixture
def governed(home: Path, store_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Governed:
    """Point this process's settings at the test's own stores, with a fresh key pair."""
    for name, value in store_settings.environment().items():
        monkeypatch.setenv(name, value)
    settings_module.settings.cache_clear()
    private_key = create_keypair(home / "keys")
    return Governed(Database(store_settings.database), open_artifacts(store_settings.artifacts), private_key)
