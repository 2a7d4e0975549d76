"""Nothing a gate protects happens without a valid approval; the refusal says which check failed."""

import time
from typing import Any

import pytest

from airlock.errors import NotApproved
from airlock.governance.approval import require_approval
from airlock.governance.forms import Field
from airlock.governance.policy import GatePolicy, Stage
from airlock.references import Artifact
from airlock.stores.ledger import Ledger, Record
from tests.governed import Governed

ENGINEER = GatePolicy.of("data_engineer")
TWO = GatePolicy(stages=[Stage(roles=["data_engineer"], quorum=2)])
ORDERED = GatePolicy(stages=[Stage(roles=["data_scientist"]), Stage(roles=["model_validator"])])


def approved(governed: Governed, about: Artifact, **changes: str) -> Record:
    asked = {"manifest": about.digest, "gate": "data", "folder": governed.keys, "use_case": "digits"}
    return require_approval(Ledger(governed.database), **(asked | changes))


@pytest.fixture
def manifest(governed: Governed) -> Artifact:
    return governed.manifest()


class TestWhenItIsApproved:
    def test_the_closing_record_is_the_approval(self, governed: Governed, manifest: Artifact) -> None:
        assert governed.approve(manifest) == approved(governed, manifest)

    def test_stages_in_order(self, governed: Governed, manifest: Artifact) -> None:
        request = governed.file(ORDERED, manifest)
        governed.decide(request, user="sami", roles=["data_scientist"])
        governed.decide(request, user="vera", roles=["model_validator"], stage=1)
        governed.close(request, "approved")
        approved(governed, manifest)

    def test_again_after_a_rejection(self, governed: Governed, manifest: Artifact) -> None:
        governed.reject(manifest)
        with pytest.raises(NotApproved, match="dora rejected manifest"):
            approved(governed, manifest)
        assert governed.approve(manifest) == approved(governed, manifest)

    def test_withdrawing_another_request_changes_nothing(self, governed: Governed, manifest: Artifact) -> None:
        record = governed.approve(manifest)
        governed.close(governed.file(ENGINEER, manifest, run="later"), "withdrawn")
        assert approved(governed, manifest) == record


class TestWhenItFailsClosed:
    def test_nobody_was_asked(self, governed: Governed, manifest: Artifact) -> None:
        with pytest.raises(NotApproved, match=f"no decision about manifest {manifest.digest[7:19]} at the data gate"):
            approved(governed, manifest)

    @pytest.mark.parametrize("other", [{"gate": "model"}, {"use_case": "fashion"}, {"manifest": "sha256:" + "c" * 64}])
    def test_the_approval_is_of_something_else(
        self, governed: Governed, manifest: Artifact, other: dict[str, str]
    ) -> None:
        governed.approve(manifest)
        with pytest.raises(NotApproved, match="no decision about"):
            approved(governed, manifest, **other)

    @pytest.mark.parametrize("verdict", ["expired", "withdrawn", "superseded"])
    def test_the_request_ended_otherwise(self, governed: Governed, manifest: Artifact, verdict: Any) -> None:
        governed.close(governed.file(ENGINEER, manifest), verdict)
        with pytest.raises(NotApproved, match="no decision about"):
            approved(governed, manifest)

    def test_it_is_only_answered_and_not_closed(self, governed: Governed, manifest: Artifact) -> None:
        governed.decide(governed.file(ENGINEER, manifest))
        with pytest.raises(NotApproved, match="no decision about"):
            approved(governed, manifest)

    def test_the_newest_word_is_a_rejection(self, governed: Governed, manifest: Artifact) -> None:
        governed.approve(manifest)
        governed.reject(manifest)
        with pytest.raises(NotApproved, match="rejected"):
            approved(governed, manifest)

    def test_the_approval_was_voided(self, governed: Governed, manifest: Artifact) -> None:
        record = governed.approve(manifest)
        governed.sign("void", {"use_case": "digits", "record": record.hash})
        with pytest.raises(NotApproved, match="declared void"):
            approved(governed, manifest)

    def test_a_decision_it_rests_on_was_voided(self, governed: Governed, manifest: Artifact) -> None:
        request = governed.file(ENGINEER, manifest)
        decision = governed.decide(request)
        governed.close(request, "approved")
        governed.sign("void", {"use_case": "digits", "record": decision.hash})
        with pytest.raises(NotApproved, match="Only 0 answers"):
            approved(governed, manifest)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"roles": ["data_labeler"]},
            {"barred": ["dora"]},
            {"manifest": "sha256:" + "d" * 64},
            {"evidence": "sha256:" + "d" * 64},
            {"policy": TWO.digest},
            {"gate": "model"},
            {"use_case": "fashion"},
            {"time": time.time() + 1e6},
        ],
        ids=lambda wrong: next(iter(wrong)),
    )
    def test_what_closed_it_does_not_add_up(
        self, governed: Governed, manifest: Artifact, wrong: dict[str, Any]
    ) -> None:
        request = governed.file(GatePolicy(stages=ENGINEER.stages, window=3600.0), manifest)
        governed.decide(request, **wrong)
        governed.close(request, "approved")
        with pytest.raises(NotApproved, match="Only 0 answers"):
            approved(governed, manifest)

    def test_one_person_twice_is_no_quorum_of_two(self, governed: Governed, manifest: Artifact) -> None:
        request = governed.file(TWO, manifest)
        governed.decide(request)
        governed.decide(request)
        governed.close(request, "approved")
        with pytest.raises(NotApproved, match=r"Only 1 answers .* 1 are missing"):
            approved(governed, manifest)

    def test_stages_out_of_order(self, governed: Governed, manifest: Artifact) -> None:
        request = governed.file(ORDERED, manifest)
        governed.decide(request, user="vera", roles=["model_validator"])
        governed.decide(request, user="sami", roles=["data_scientist"])
        governed.close(request, "approved")
        with pytest.raises(NotApproved, match="Only 1 answers"):
            approved(governed, manifest)

    @pytest.mark.parametrize("answers", [{}, {"risk": "low"}, {"risk": "none", "why": "x"}, {"risk": "", "why": "x"}])
    def test_a_question_of_the_form_was_not_answered(
        self, governed: Governed, manifest: Artifact, answers: dict[str, str]
    ) -> None:
        form = {
            "risk": Field(title="Risk", options=["low", "high"]),
            "why": Field(title="Why"),
            "more": Field(title="More", required=False),
        }
        request = governed.file(GatePolicy(stages=ENGINEER.stages, form=form), manifest)
        governed.decide(request, answers=answers)
        governed.close(request, "approved")
        with pytest.raises(NotApproved, match="Only 0 answers"):
            approved(governed, manifest)

    def test_an_item_of_the_checklist_was_not_confirmed(self, governed: Governed, manifest: Artifact) -> None:
        policy = GatePolicy(stages=ENGINEER.stages, checklist={"risks": "Risks are known"})
        request = governed.file(policy, manifest)
        governed.decide(request)
        governed.close(request, "approved")
        with pytest.raises(NotApproved, match="Only 0 answers"):
            approved(governed, manifest)

    def test_the_answer_came_after_the_end(self, governed: Governed, manifest: Artifact) -> None:
        request = governed.file(ENGINEER, manifest)
        governed.close(request, "approved")
        governed.decide(request)
        with pytest.raises(NotApproved, match="Only 0 answers"):
            approved(governed, manifest)

    def test_the_policy_was_another_when_it_was_decided(self, governed: Governed, manifest: Artifact) -> None:
        request = governed.file(ENGINEER, manifest)
        governed.adopt(TWO)
        governed.decide(request)
        governed.close(request, "approved")
        with pytest.raises(NotApproved, match="under another policy"):
            approved(governed, manifest)

    def test_a_policy_that_is_replaced_later_keeps_its_approvals(self, governed: Governed, manifest: Artifact) -> None:
        record = governed.approve(manifest)
        governed.adopt(TWO)
        assert approved(governed, manifest) == record

    def test_no_key_is_known(self, governed: Governed, manifest: Artifact, tmp_path: Any) -> None:
        governed.approve(manifest)
        with pytest.raises(NotApproved, match=r"does not verify.*not among the public keys"):
            approved(governed, manifest, folder=str(tmp_path / "none"))


class TestReadingOn:
    def test_a_book_that_reads_on_knows_what_a_new_one_knows(self, governed: Governed, manifest: Artifact) -> None:
        book = governed.book()
        record = governed.approve(manifest)
        assert book.pending() == []
        book.read_on(governed.ledger, governed.keys)
        assert book.approval("digits", "data", manifest.digest) == record
        assert book.last == governed.book().last

    def test_what_a_worker_makes_up_is_no_request_and_stops_nobody(
        self, governed: Governed, manifest: Artifact
    ) -> None:
        app = Ledger(governed.database)
        app.append("request", {"use_case": "digits", "request": "f" * 64, "manifest": 5})
        record = governed.approve(manifest)
        assert approved(governed, manifest) == record
        assert "f" * 64 not in governed.book().requests
