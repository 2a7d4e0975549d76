"""A signer with its public keys, and a maker of decisions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airlock.governance.decisions import Decision, decision_body
from airlock.governance.policy import GatePolicy
from airlock.governance.signing import Signer, create_keypair, public_keys

POLICY = GatePolicy(role="model_validator")


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(create_keypair(tmp_path / "signing"))


@pytest.fixture
def keys(tmp_path: Path, signer: Signer) -> dict[str, Any]:
    return public_keys(str(tmp_path / "signing" / "public"))


@pytest.fixture
def decision() -> Callable[..., dict[str, Any]]:
    """Give ``decision(**changes)``: the ledger body of an approval by a model validator."""

    def make(**changes: Any) -> dict[str, Any]:
        fields = {
            "request": "request-1",
            "use_case": "digits",
            "gate": "model",
            "manifest": "sha256:" + "a" * 64,
            "evidence": "sha256:" + "b" * 64,
            "policy": POLICY.digest,
            "user": "vera",
            "roles": ["model_validator"],
            "option": "Approve",
            "approved": True,
            "comment": "",
            "time": 1.5,
        }
        return decision_body(Decision(**(fields | changes)))

    return make
