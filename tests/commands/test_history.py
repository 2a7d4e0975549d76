"""``airlock history``: what served when, who approved it, on which data."""

import time
from typing import Any

import pytest

from airlock.digests import short
from airlock.errors import UserError
from airlock.governance.history import History
from airlock.references import Artifact
from airlock.stores.ledger import Ledger, Record
from tests.governed import Governed


def deployed(governed: Governed, manifest: Artifact, decision: str, kind: Any = "deployment") -> Record:
    """Append what a worker reports: that a manifest serves."""
    body = {"use_case": "digits", "target": "local", "manifest": manifest.digest, "decision": decision, "endpoint": "e"}
    return Ledger(governed.database).append(kind, body)


class TestWhatWasDeployed:
    def test_the_last_of_a_target_until_then(self, governed: Governed) -> None:
        first, second = governed.manifest(), governed.manifest()
        one = deployed(governed, first, governed.approve(first).hash)
        two = deployed(governed, second, governed.approve(second).hash)
        back = deployed(governed, first, one.body["decision"], "rollback")
        history = History.open(governed.ledger, governed.keys)

        def served(at: float) -> list[str]:
            return [each.manifest for each in history.served(governed.artifacts, at)]

        assert served(one.created - 1e-4) == []
        assert served(one.created) == [first.digest]
        assert served(two.created) == [second.digest]
        assert served(back.created) == [first.digest]
        assert history.served(governed.artifacts, time.time(), "fashion") == []

    def test_who_approved_it_on_which_data(self, governed: Governed, airlock: Any) -> None:
        manifest = governed.manifest()
        deployed(governed, manifest, governed.approve(manifest, comment="Good.").hash)
        said = airlock("history", "deployed").output
        assert f"digits at local: manifest {manifest.digest}" in said
        assert "dora (data_engineer): Approve “Good.”" in said
        assert "data gate: approved, signed in ledger record 4" in said
        assert "dataset digits v" in said
        assert "reported, not signed: deployment in ledger record 5" in said
        assert "NOT PROVED" not in said

    def test_a_deployment_that_a_worker_made_up(self, governed: Governed, airlock: Any) -> None:
        approved, other = governed.manifest(), governed.manifest()
        decision = governed.approve(approved).hash
        deployed(governed, other, decision)
        assert "NOT PROVED: The record names no approval of this manifest" in airlock("history", "deployed").output

    def test_an_approval_that_was_voided(self, governed: Governed, airlock: Any) -> None:
        manifest = governed.manifest()
        record = governed.approve(manifest)
        deployed(governed, manifest, record.hash)
        governed.sign("void", {"use_case": "digits", "record": record.hash})
        assert "NOT PROVED: The approval of" in airlock("history", "deployed").output

    @pytest.mark.parametrize("at", ["2020-01-01", "2020-01-01T10:00:00+02:00", "2020-01-01T10:00Z"])
    def test_before_everything(self, governed: Governed, airlock: Any, at: str) -> None:
        manifest = governed.manifest()
        deployed(governed, manifest, governed.approve(manifest).hash)
        assert "nothing was deployed" in airlock("history", "deployed", "--at", at).output

    def test_a_time_that_is_none(self, governed: Governed, airlock: Any) -> None:
        error = airlock("history", "deployed", "--at", "yesterday").exception
        assert isinstance(error, UserError)
        assert "'yesterday' is no time. Write it like" in str(error)


class TestTheStoryOfAManifest:
    def test_a_canary_and_why_it_went_back(self, governed: Governed, airlock: Any) -> None:
        champion, canary = governed.manifest(), governed.manifest()
        ledger = Ledger(governed.database)
        at = {"use_case": "digits", "target": "local"}
        ledger.append("rollout", at | {"event": "staged", "manifest": canary.digest})
        ledger.append("rollout", at | {"event": "share", "share": 0.05, "manifest": canary.digest})
        one = {"requests": 50, "errors": 25, "p50_ms": 4.5, "p99_ms": 9.0}
        told = {"manifest": champion.digest, "from": canary.digest, "by": "airlock", "reason": "50.0% errors"}
        ledger.append("rollback", at | told | {"figures": {"share": 0.05, "canary": one}})
        governed.approve(champion)
        for digest in (champion.digest, canary.digest):
            said = airlock("history", "show", digest).output
            change = (
                f"rollback at local from {short(canary.digest)} to {short(champion.digest)} by airlock: 50.0% errors"
            )
            assert f"{change} (canary 50 requests, 25 errors, p50 4.5 ms, p99 9.0 ms)" in said
        assert "staged at local in ledger record" in said
        assert "canary at local, 5% of the requests in ledger record" in said

    def test_requests_answers_promotions_and_deployments(self, governed: Governed, airlock: Any) -> None:
        manifest = governed.manifest()
        governed.reject(manifest)
        record = governed.approve(manifest)
        body = {"use_case": "digits", "manifest": manifest.digest, "queue": "digits/model", "decision": record.hash}
        Ledger(governed.database).append("promotion", body)
        deployed(governed, manifest, record.hash)
        said = airlock("history", "show", short(manifest.digest)).output
        order = [
            "gate: rejected",
            "dora (data_engineer): Clean again",
            "gate: approved",
            "promotion to",
            "deployment to",
        ]
        places = [said.index(text) for text in order]
        assert places == sorted(places)

    def test_a_prefix_that_names_none_or_many(self, governed: Governed, airlock: Any) -> None:
        governed.approve(governed.manifest())
        governed.approve(governed.manifest())
        assert "No manifest in the ledger begins with 'zz'" in str(airlock("history", "show", "zz").exception)
        assert "2 manifests in the ledger begin with ''" in str(airlock("history", "show", "").exception)
