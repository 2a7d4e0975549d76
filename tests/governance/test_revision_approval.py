"""A revision stands where its candidate stood only with both approvals: the candidate's, and its own."""

import json

import pytest
from msgspec.structs import replace

from airlock.errors import NotApproved
from airlock.governance.approval import require_standing
from airlock.governance.manifest import CandidateManifest, load, put
from airlock.governance.policy import GatePolicy
from airlock.references import Artifact
from airlock.stores.ledger import Ledger, Record
from tests.governed import NUMBERS, Governed
from tests.plugins.test_provenance import candidate_of

ENGINEER = GatePolicy.of("software_engineer")
VALIDATOR = GatePolicy.of("model_validator")


@pytest.fixture
def candidate(governed: Governed) -> Artifact:
    return candidate_of(governed, governed.manifest())


def revision_of(governed: Governed, candidate: Artifact, seed: int = 7) -> Artifact:
    """Store a revision; another seed makes it another one."""
    original = load(governed.artifacts, candidate.digest, CandidateManifest)
    return put(governed.artifacts, replace(original, seed=seed, revises=candidate.digest))


def decide(governed: Governed, about: Artifact, gate: str, *, approve: bool = True) -> Record:
    policy = VALIDATOR if gate == "model" else ENGINEER
    request = governed.file(policy, about, gate=gate, run=f"run-{next(NUMBERS)}", evidence="sha256:e")
    governed.decide(request, "Approve" if approve else "Train again", roles=policy.stages[0].roles, user="eve")
    return governed.close(request, "approved" if approve else "rejected", "eve")


def standing(governed: Governed, about: Artifact, gate: str = "model") -> Record:
    ledger = Ledger(governed.database)
    return require_standing(ledger, governed.artifacts, about.digest, gate, governed.keys, "digits")


class TestItStands:
    def test_with_both_approvals_by_its_own(self, governed: Governed, candidate: Artifact) -> None:
        revision = revision_of(governed, candidate)
        decide(governed, candidate, "model")
        record = decide(governed, revision, "revision")
        assert standing(governed, revision) == record

    def test_as_a_revision_of_a_revision_with_all_three(self, governed: Governed, candidate: Artifact) -> None:
        first = revision_of(governed, candidate)
        second = revision_of(governed, first, seed=8)
        decide(governed, candidate, "model")
        decide(governed, first, "revision")
        record = decide(governed, second, "revision")
        assert standing(governed, second) == record

    def test_what_revises_nothing_needs_its_gate_alone(self, governed: Governed, candidate: Artifact) -> None:
        record = decide(governed, candidate, "model")
        assert standing(governed, candidate) == record


class TestItFailsClosed:
    def test_with_the_candidates_approval_alone(self, governed: Governed, candidate: Artifact) -> None:
        revision = revision_of(governed, candidate)
        decide(governed, candidate, "model")
        with pytest.raises(NotApproved, match=f"no decision about manifest {revision.digest[7:19]} at the revision"):
            standing(governed, revision)

    def test_with_its_own_alone(self, governed: Governed, candidate: Artifact) -> None:
        revision = revision_of(governed, candidate)
        decide(governed, revision, "revision")
        with pytest.raises(NotApproved, match=f"no decision about manifest {candidate.digest[7:19]} at the model"):
            standing(governed, revision)

    def test_approved_by_the_model_gate_instead_of_the_revision_gate(
        self, governed: Governed, candidate: Artifact
    ) -> None:
        revision = revision_of(governed, candidate)
        decide(governed, candidate, "model")
        decide(governed, revision, "model")
        with pytest.raises(NotApproved, match="at the revision gate"):
            standing(governed, revision)

    def test_when_the_candidate_was_rejected_afterwards(self, governed: Governed, candidate: Artifact) -> None:
        revision = revision_of(governed, candidate)
        decide(governed, candidate, "model")
        decide(governed, revision, "revision")
        decide(governed, candidate, "model", approve=False)
        with pytest.raises(NotApproved, match=f"eve rejected manifest {candidate.digest[7:19]}"):
            standing(governed, revision)

    def test_when_it_was_rejected_itself(self, governed: Governed, candidate: Artifact) -> None:
        revision = revision_of(governed, candidate)
        decide(governed, candidate, "model")
        decide(governed, revision, "revision", approve=False)
        with pytest.raises(NotApproved, match="eve rejected manifest"):
            standing(governed, revision)

    def test_with_a_link_of_the_chain_missing(self, governed: Governed, candidate: Artifact) -> None:
        first = revision_of(governed, candidate)
        second = revision_of(governed, first, seed=8)
        decide(governed, candidate, "model")
        decide(governed, second, "revision")
        with pytest.raises(NotApproved, match=f"no decision about manifest {first.digest[7:19]} at the revision"):
            standing(governed, second)

    def test_with_another_revisions_approval(self, governed: Governed, candidate: Artifact) -> None:
        decide(governed, candidate, "model")
        decide(governed, revision_of(governed, candidate), "revision")
        with pytest.raises(NotApproved, match="no decision about"):
            standing(governed, revision_of(governed, candidate, seed=8))

    def test_for_another_gate_than_the_candidates(self, governed: Governed, candidate: Artifact) -> None:
        revision = revision_of(governed, candidate)
        decide(governed, candidate, "model")
        decide(governed, revision, "revision")
        with pytest.raises(NotApproved, match="at the data gate"):
            standing(governed, revision, gate="data")

    def test_naming_a_candidate_of_another_use_case(self, governed: Governed, candidate: Artifact) -> None:
        request = governed.file(VALIDATOR, candidate, gate="model", use_case="fashion", evidence="sha256:e")
        governed.decide(request, roles=["model_validator"])
        governed.close(request, "approved")
        revision = revision_of(governed, candidate)
        decide(governed, revision, "revision")
        with pytest.raises(NotApproved, match="at the model gate of digits"):
            standing(governed, revision)


def test_a_manifest_from_before_there_were_revisions_is_still_read(governed: Governed, candidate: Artifact) -> None:
    old = json.loads(governed.artifacts.read(candidate.digest))
    for name in ("revises", "revision", "revision_report"):
        del old[name]
    stored = governed.artifacts.put(json.dumps(old).encode())
    found = load(governed.artifacts, stored.digest, CandidateManifest)
    assert (found.revises, found.before) == ("", found.data)
