"""Nothing a gate protects happens without a valid decision; the refusal says which check failed."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from airlock.errors import NotApproved, UserError
from airlock.governance.approval import approval_of_request, require_approval
from airlock.governance.policy import GatePolicy
from airlock.governance.signing import Signer
from airlock.stores.database import Database
from airlock.stores.gates import GateRequest
from airlock.stores.ledger import Ledger

MANIFEST = "sha256:" + "a" * 64
POLICY = GatePolicy(role="model_validator")
Body = Callable[..., dict[str, Any]]


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


def approved(ledger: Any, keys: dict[str, Any], **changes: Any) -> Any:
    asked = {"manifest": MANIFEST, "use_case": "digits", "gate": "model", "keys": keys}
    return require_approval(ledger, **(asked | changes))


def test_a_signed_approval_counts(ledger: Ledger, keys: dict[str, Any], signer: Signer, decision: Body) -> None:
    record = ledger.append("decision", decision(), signer=signer)
    assert approved(ledger, keys, policy=POLICY.digest, roles={"model_validator"}) == record


class TestWhenItFailsClosed:
    def test_nobody_decided(self, ledger: Ledger, keys: dict[str, Any]) -> None:
        with pytest.raises(NotApproved, match="no decision about manifest aaaaaaaaaaaa"):
            approved(ledger, keys)

    @pytest.mark.parametrize("other", [{"gate": "data"}, {"use_case": "fashion"}, {"manifest": "sha256:" + "c" * 64}])
    def test_the_decision_was_about_something_else(
        self, ledger: Ledger, keys: dict[str, Any], signer: Signer, decision: Body, other: dict[str, str]
    ) -> None:
        ledger.append("decision", decision(**other), signer=signer)
        with pytest.raises(NotApproved, match="no decision"):
            approved(ledger, keys)

    def test_it_was_rejected(self, ledger: Ledger, keys: dict[str, Any], signer: Signer, decision: Body) -> None:
        ledger.append("decision", decision(), signer=signer)
        ledger.append("decision", decision(user="rita", approved=False, option="Train again"), signer=signer)
        with pytest.raises(NotApproved, match=r"rita rejected .*Train again"):
            approved(ledger, keys)

    def test_the_policy_was_another(self, ledger: Ledger, keys: dict[str, Any], signer: Signer, decision: Body) -> None:
        ledger.append("decision", decision(policy="sha256:" + "d" * 64), signer=signer)
        with pytest.raises(NotApproved, match="another policy"):
            approved(ledger, keys, policy=POLICY.digest)

    def test_the_role_was_another(self, ledger: Ledger, keys: dict[str, Any], signer: Signer, decision: Body) -> None:
        ledger.append("decision", decision(roles=["data_labeler"]), signer=signer)
        with pytest.raises(NotApproved, match="was a model_validator"):
            approved(ledger, keys, roles={"model_validator"})

    def test_no_key_is_known(self, ledger: Ledger, signer: Signer, decision: Body) -> None:
        ledger.append("decision", decision(), signer=signer)
        with pytest.raises(NotApproved, match=r"record 1 .*not among the public keys"):
            approved(ledger, {})

    def test_the_chain_is_broken_elsewhere(
        self, ledger: Ledger, keys: dict[str, Any], signer: Signer, decision: Body
    ) -> None:
        ledger.append("promotion", {"use_case": "fashion"})
        ledger.append("decision", decision(), signer=signer)
        first, second = ledger.records()
        with pytest.raises(NotApproved, match=r"record 1 .*was altered"):
            approved([replace(first, body="{}"), second], keys)

    def test_the_decision_was_voided(
        self, ledger: Ledger, keys: dict[str, Any], signer: Signer, decision: Body
    ) -> None:
        record = ledger.append("decision", decision(), signer=signer)
        ledger.append("void", {"use_case": "digits", "decision": record.hash})
        with pytest.raises(NotApproved, match="no decision"):
            approved(ledger, keys)

    def test_one_person_twice_is_no_quorum_of_two(
        self, ledger: Ledger, keys: dict[str, Any], signer: Signer, decision: Body
    ) -> None:
        ledger.append("decision", decision(), signer=signer)
        ledger.append("decision", decision(), signer=signer)
        with pytest.raises(NotApproved, match="Only 1 of 2 people"):
            approved(ledger, keys, quorum=2)
        last = ledger.append("decision", decision(user="otto"), signer=signer)
        assert approved(ledger, keys, quorum=2) == last


class TestTheDecisionAboutARequest:
    def request(self, policy: GatePolicy = POLICY) -> GateRequest:
        return GateRequest(
            id="request-1",
            use_case="digits",
            gate="model",
            dag="d",
            run="r",
            task="t",
            manifest=MANIFEST,
            evidence="",
            policy={"role": policy.role, "quorum": policy.quorum},
            policy_digest=GatePolicy(role=policy.role, quorum=policy.quorum).digest,
            created=0.0,
        )

    def test_is_open_until_somebody_in_the_role_decides(
        self, ledger: Ledger, keys: dict[str, Any], signer: Signer, decision: Body
    ) -> None:
        ledger.append("decision", decision(request="another"), signer=signer)
        ledger.append("decision", decision(roles=["data_engineer"]), signer=signer)
        assert approval_of_request(ledger, self.request(), keys) is None
        record = ledger.append("decision", decision(), signer=signer)
        found = approval_of_request(ledger, self.request(), keys)
        assert found is not None
        assert (found[0].user, found[1]) == ("vera", record.hash)

    def test_takes_the_quorum_to_approve_and_one_to_reject(
        self, ledger: Ledger, keys: dict[str, Any], signer: Signer, decision: Body
    ) -> None:
        two = GatePolicy(role="model_validator", quorum=2)
        ledger.append("decision", decision(policy=two.digest), signer=signer)
        assert approval_of_request(ledger, self.request(two), keys) is None
        body = decision(policy=two.digest, user="rita", approved=False, option="Train again")
        record = ledger.append("decision", body, signer=signer)
        found = approval_of_request(ledger, self.request(two), keys)
        assert found is not None
        assert (found[0].approved, found[1]) == (False, record.hash)


class TestAPolicy:
    def test_with_an_unknown_role(self) -> None:
        with pytest.raises(UserError, match=r"no role 'boss'.*model_validator"):
            GatePolicy(role="boss")

    @pytest.mark.parametrize("wrong", [{"quorum": 0}, {"minimum_age": -1.0}])
    def test_that_asks_for_less_than_nothing(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(UserError, match=r"quorum|minimum age"):
            GatePolicy(role="model_validator", **wrong)

    def test_has_another_digest_when_anything_in_it_changes(self) -> None:
        digests = {POLICY.digest, GatePolicy(role="data_engineer").digest}
        digests |= {GatePolicy(role="model_validator", quorum=2).digest}
        assert len(digests) == 3
