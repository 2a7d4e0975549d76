"""Real stores with people who decide: what tests of gates, of the guard and of promotions stand on."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from airlock import settings as settings_module
from airlock.digests import digest_bytes
from airlock.governance.anchor import write_anchor
from airlock.governance.authority import DATABASE, KEY_FILE
from airlock.governance.book import Book
from airlock.governance.decisions import Decision, Verdict, closing_body, decision_body
from airlock.governance.evidence import evidence
from airlock.governance.manifest import DataManifest, put
from airlock.governance.policy import APPROVE, GatePolicy
from airlock.governance.signing import create_keypair, load_signer
from airlock.references import Artifact, DatasetVersion, LabelSet
from airlock.settings import Settings
from airlock.stores.artifacts import ArtifactStore, open_artifacts
from airlock.stores.database import Database
from airlock.stores.gates import GateRequest, GateRequests
from airlock.stores.ledger import Ledger, Record
from airlock.stores.queue import PromotionQueue

NUMBERS = itertools.count(1)


class Governed:
    """The stores behind this process's settings, and a signer whose public key they know.

    :param database: as the application's role.
    :param guard: as the guard's role.
    :param home: with the keys in it.
    """

    def __init__(self, database: Database, guard: Database, artifacts: ArtifactStore, home: Path) -> None:
        self.database = database
        self.guard = guard
        self.artifacts = artifacts
        self.keys = str(home / "keys" / "public")
        self.private_key = create_keypair(home / "keys")
        self.signer = load_signer(path=self.private_key)
        self.ledger = Ledger(guard)
        self.requests = GateRequests(database)
        self.queue = PromotionQueue(database)

    def book(self) -> Book:
        """The verified ledger."""
        return Book.open(self.ledger, self.keys)

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

    def sign(self, kind: Any, body: dict[str, Any]) -> Record:
        """Append a signed record as the guard does."""
        record = self.ledger.append(kind, body, self.signer)
        write_anchor(self.keys, record, self.signer)
        return record

    def adopt(self, policy: GatePolicy, use_case: str = "digits", gate: str = "data") -> None:
        """Put a policy in force, unless it is."""
        if self.book().policy_in_force(use_case, gate) != policy.digest:
            self.sign("policy", {"use_case": use_case, "gate": gate, "policy": msgspec.to_builtins(policy)})

    def file(self, policy: GatePolicy, manifest: Artifact | str = "", **changes: Any) -> GateRequest:
        """Adopt a policy and file a request under it, of the gate ``data`` as ``digits_data.data_gate`` in ``run``."""
        digest = manifest if isinstance(manifest, str) else manifest.digest
        digest = digest or self.manifest().digest
        fields = {
            "use_case": "digits",
            "gate": "data",
            "dag": "digits_data",
            "run": "run",
            "task": "data_gate",
            "manifest": digest,
            "policy": policy.digest,
            "created": time.time(),
        }
        if "evidence" not in changes:
            fields["evidence"] = digest_bytes(evidence(self.artifacts, digest, "").encode())
        request = GateRequest(**(fields | changes))
        self.adopt(policy, request.use_case, request.gate)
        return self.requests.open(request)

    def decide(self, request: GateRequest, option: str = APPROVE, **changes: Any) -> Record:
        """Append the signed decision of dora, a data engineer, about a request."""
        decision = Decision(
            request=request.id,
            use_case=request.use_case,
            gate=request.gate,
            manifest=request.manifest,
            evidence=request.evidence,
            policy=request.policy,
            user="dora",
            roles=["data_engineer"],
            option=option,
            approved=option == APPROVE,
            comment="Looked at it.",
            time=time.time(),
        )
        return self.sign("decision", decision_body(decision) | changes)

    def close(self, request: GateRequest, verdict: Verdict, user: str = "dora", reason: str = "") -> Record:
        """Append the signed record that ends a request."""
        return self.sign("closed", closing_body(request, verdict, user, reason))

    def approve(self, manifest: Artifact, policy: GatePolicy | None = None, **changes: Any) -> Record:
        """File a request about a manifest and approve it; return the record that closes it.

        :param changes: of the decision.
        """
        where = {name: changes[name] for name in ("use_case", "gate") if name in changes}
        run = f"run-{next(NUMBERS)}"
        request = self.file(policy or GatePolicy.of("data_engineer"), manifest, run=run, **where)
        self.decide(request, **changes)
        return self.close(request, "approved")

    def reject(self, manifest: Artifact, option: str = "Clean again") -> Record:
        """File a request about a manifest and reject it; return the record that closes it."""
        request = self.file(GatePolicy.of("data_engineer"), manifest, run=f"run-{next(NUMBERS)}")
        self.decide(request, option)
        return self.close(request, "rejected", reason=option)

    def recorded(self, kind: str) -> list[dict[str, Any]]:
        """Bodies of the ledger's records of a kind."""
        return [record.body for record in self.ledger.records() if record.kind == kind]


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
def governed(
    home: Path, store_settings: Settings, guard_database: Database, monkeypatch: pytest.MonkeyPatch
) -> Governed:
    """Point this process's settings at the test's own stores, with a fresh key pair, and let it be the guard."""
    for name, value in store_settings.environment().items():
        monkeypatch.setenv(name, value)
    settings_module.settings.cache_clear()
    artifacts = open_artifacts(store_settings.artifacts)
    made = Governed(Database(store_settings.database), guard_database, artifacts, home)
    monkeypatch.setenv(KEY_FILE, str(made.private_key))
    monkeypatch.setenv(DATABASE, guard_database.dsn)
    return made
