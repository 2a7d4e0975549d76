"""Between the pipelines: nothing without an approval, nothing twice, everything in order."""

from typing import Any

import msgspec
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airlock.errors import IntegrityError
from airlock.operators.promotion import ClaimOperator, PromoteOperator, claim, promote
from airlock.references import Artifact
from airlock.stores.ledger import Ledger
from airlock.stores.queue import PromotionQueue
from tests.governed import Governed
from tests.operators.conftest import FakeSupervisor, context

QUEUE = "digits/model"


def promoting(manifest: Artifact) -> PromoteOperator:
    return promote(use_case="digits", gate="data", manifest=msgspec.to_builtins(manifest), queue=QUEUE)


def claiming() -> ClaimOperator:
    return claim(use_case="digits", gate="data", queue=QUEUE)


def in_run(run: str, conf: dict[str, Any] | None = None) -> dict[str, Any]:
    told = context("claim", conf=conf)
    told["ti"].run_id = run
    return told


class TestPromoting:
    def test_an_approved_manifest_is_queued_with_its_decision(self, governed: Governed) -> None:
        manifest = governed.manifest()
        record = governed.approve(manifest)
        told = context("promote")
        assert promoting(manifest).execute(told) == {
            "manifest": msgspec.to_builtins(manifest),
            "decision": record.hash,
        }
        (item,) = governed.queue.waiting(QUEUE)
        assert (item.manifest, item.decision) == (manifest.digest, record.hash)
        assert "queued for digits/model" in told["ti"].xcoms["summary"]["headline"]

    def test_however_often_it_runs_it_is_queued_and_recorded_once(self, governed: Governed) -> None:
        manifest = governed.manifest()
        record = governed.approve(manifest)
        for attempt in (1, 2, 3):
            promoting(manifest).execute(context("promote", attempt))
        assert len(governed.queue.waiting(QUEUE)) == 1
        body = {"use_case": "digits", "manifest": manifest.digest, "queue": QUEUE, "decision": record.hash}
        assert governed.recorded("promotion") == [body]

    @pytest.mark.parametrize("crashed", [(Ledger, "append"), (PromotionQueue, "put")], ids=["ledger", "queue"])
    def test_a_retry_after_a_crash_does_what_was_left_undone(
        self, governed: Governed, monkeypatch: pytest.MonkeyPatch, crashed: tuple[type, str]
    ) -> None:
        def crash(*_arguments: Any, **_named: Any) -> None:
            raise SystemExit

        manifest = governed.manifest()
        governed.approve(manifest)
        working = getattr(*crashed)
        monkeypatch.setattr(*crashed, crash)
        with pytest.raises(SystemExit):
            promoting(manifest).execute(context("promote"))
        monkeypatch.setattr(*crashed, working)
        promoting(manifest).execute(context("promote", attempt=2))
        assert len(governed.queue.waiting(QUEUE)) == len(governed.recorded("promotion")) == 1

    def test_a_later_approval_queues_it_again(self, governed: Governed) -> None:
        manifest = governed.manifest()
        for _ in range(2):
            governed.approve(manifest)
            promoting(manifest).execute(context("promote"))
        assert len(governed.queue.waiting(QUEUE)) == len(governed.recorded("promotion")) == 2


class TestRefusing:
    def refused(self, governed: Governed, manifest: Artifact, why: str) -> None:
        with pytest.raises(AirflowFailException, match=why):
            promoting(manifest).execute(context("promote"))
        assert governed.queue.waiting(QUEUE) == []
        assert governed.recorded("promotion") == []

    def test_what_nobody_decided_about(self, governed: Governed) -> None:
        self.refused(governed, governed.manifest(), "no decision about manifest")

    def test_what_was_rejected(self, governed: Governed) -> None:
        manifest = governed.manifest()
        governed.reject(manifest)
        self.refused(governed, manifest, "dora rejected manifest")

    def test_what_only_another_manifests_approval_speaks_for(self, governed: Governed) -> None:
        governed.approve(governed.manifest())
        self.refused(governed, governed.manifest(), "no decision about manifest")

    def test_what_another_gate_approved(self, governed: Governed) -> None:
        manifest = governed.manifest()
        governed.approve(manifest, gate="model")
        self.refused(governed, manifest, "at the data gate of digits")

    def test_a_manifest_whose_bytes_are_gone(self, governed: Governed) -> None:
        lost = msgspec.structs.replace(governed.manifest(), digest="sha256:" + "c" * 64)
        with pytest.raises(IntegrityError, match="cccccccccccc"):
            promoting(lost).execute(context("promote"))


@pytest.mark.usefixtures("supervisor")
class TestClaiming:
    def queued(self, governed: Governed) -> Artifact:
        manifest = governed.manifest()
        governed.approve(manifest)
        promoting(manifest).execute(context("promote"))
        return manifest

    def test_runs_take_them_in_order_and_a_retry_takes_the_same(
        self, governed: Governed, supervisor: FakeSupervisor
    ) -> None:
        first, second = self.queued(governed), self.queued(governed)
        taken = [claiming().execute(in_run(run))["manifest"] for run in ("one", "two", "one")]
        assert taken == [msgspec.to_builtins(manifest) for manifest in (first, second, first)]

    def test_one_wake_up_for_two_approvals_still_serves_both(
        self, governed: Governed, supervisor: FakeSupervisor
    ) -> None:
        self.queued(governed)
        self.queued(governed)
        claiming().execute(in_run("one"))
        (left,) = governed.queue.waiting(QUEUE)
        (started,) = supervisor.sent
        assert started.dag_id == "digits_model"
        assert started.run_id.startswith(f"queue__{left.id}__")

    def test_the_last_in_the_queue_starts_no_further_run(self, governed: Governed, supervisor: FakeSupervisor) -> None:
        self.queued(governed)
        claiming().execute(in_run("one"))
        assert supervisor.sent == []

    def test_nothing_waits_and_the_run_skips(self, governed: Governed) -> None:
        with pytest.raises(AirflowSkipException, match="Nothing waits in the promotion queue digits/model"):
            claiming().execute(in_run("one"))

    def test_what_a_deleted_run_had_taken_waits_again_in_its_old_place(
        self, governed: Governed, supervisor: FakeSupervisor
    ) -> None:
        first, second = self.queued(governed), self.queued(governed)
        claiming().execute(in_run("one"))
        woken = supervisor.sent[-1].run_id
        supervisor.deleted = {"one"}
        assert claiming().execute(in_run(woken))["manifest"]["digest"] == first.digest
        another = supervisor.sent[-1].run_id
        assert another != woken, "or whoever is left would be waiting for a run that works on something else"
        assert claiming().execute(in_run(another))["manifest"]["digest"] == second.digest

    def test_what_a_failed_run_has_taken_stays_its_own(self, governed: Governed, supervisor: FakeSupervisor) -> None:
        first = self.queued(governed)
        claiming().execute(in_run("failed"))
        with pytest.raises(AirflowSkipException):
            claiming().execute(in_run("two"))
        assert claiming().execute(in_run("failed"))["manifest"]["digest"] == first.digest

    def test_a_promotion_is_the_outcome_of_what_its_run_claimed(
        self, governed: Governed, supervisor: FakeSupervisor
    ) -> None:
        self.queued(governed)
        claiming().execute(in_run("run"))
        manifest = governed.manifest()
        governed.approve(manifest)
        promoting(manifest).execute(context("promote"))
        item = governed.queue.of_run("digits_model", "run")
        assert item is not None
        assert item.outcome == "promoted"

    def test_what_was_queued_behind_the_ledgers_back_is_refused(self, governed: Governed) -> None:
        governed.queue.put(QUEUE, governed.manifest().digest, "sha256:" + "d" * 64)
        with pytest.raises(AirflowFailException, match="no decision about manifest"):
            claiming().execute(in_run("one"))

    def test_a_run_may_name_its_manifest_and_leaves_the_queue_alone(self, governed: Governed) -> None:
        waiting, named = self.queued(governed), governed.manifest()
        record = governed.approve(named)
        claimed = claiming().execute(in_run("one", {"manifest": named.digest}))
        assert (claimed["manifest"]["digest"], claimed["decision"]) == (named.digest, record.hash)
        assert [item.manifest for item in governed.queue.waiting(QUEUE)] == [waiting.digest]

    def test_a_named_manifest_must_be_approved_like_any_other(self, governed: Governed) -> None:
        self.queued(governed)
        with pytest.raises(AirflowFailException, match="no decision about manifest"):
            claiming().execute(in_run("one", {"manifest": governed.manifest().digest}))

    def test_a_rework_takes_the_ancestor_that_this_gate_approved(self, governed: Governed) -> None:
        self.queued(governed)
        rejected, ancestor = governed.manifest(), governed.manifest()
        governed.reject(rejected, option="Train again")
        governed.approve(ancestor)
        conf = {"rework": {"step": "train", "chain": [rejected.digest, ancestor.digest]}}
        assert claiming().execute(in_run("one", conf))["manifest"]["digest"] == ancestor.digest
        assert len(governed.queue.waiting(QUEUE)) == 1

    def test_a_rework_takes_the_item_over_and_shows_the_note(
        self, governed: Governed, supervisor: FakeSupervisor, caplog: pytest.LogCaptureFixture
    ) -> None:
        ancestor = self.queued(governed)
        claiming().execute(in_run("one"))
        before = governed.queue.of_run("digits_model", "one")
        asked = {"gate": "model", "by": "vera", "note": "Too slow.", "step": "train", "chain": [ancestor.digest]}
        told = in_run("rework__1", {"rework": asked | {"origin": {"dag": "digits_model", "run": "one"}}})
        claiming().execute(told)
        after = governed.queue.of_run("digits_model", "rework__1")
        assert before is not None
        assert after is not None
        assert (after.id, governed.queue.of_run("digits_model", "one")) == (before.id, None)
        said = "Rework from the model gate, asked for by vera: “Too slow.”"
        assert said in told["ti"].xcoms["summary"]["headline"]
