"""What the revise operator takes as source, and what promoting a revision does to the queue."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from airflow.sdk.exceptions import AirflowFailException

from airlock.errors import UserError
from airlock.operators.model import EvaluateOperator, ReviseOperator, revise
from airlock.operators.promotion import claim, promote
from airlock.references import Artifact
from tests.governance.test_revision_approval import decide, revision_of
from tests.governed import Governed
from tests.operators.conftest import FakeSupervisor, context
from tests.plugins.test_provenance import candidate_of

QUEUE = "digits/deployment"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "dags" / "digits"
    (made / "refactored").mkdir(parents=True)
    (made / "refactored" / "transform.py").write_text("def transform(image): ...\n")
    (tmp_path / "secret.pem").write_text("PRIVATE KEY")
    return made


def operator(folder: Path, **changes: Any) -> ReviseOperator:
    given: dict[str, Any] = {"manifest": {}, "folder": str(folder), "experiment": "digits"}
    return revise(**given | changes)


@pytest.mark.usefixtures("governed")
class TestSource:
    def test_is_stored_from_the_use_cases_folder(self, folder: Path, governed: Governed) -> None:
        inputs = operator(folder, transform_code="refactored/transform.py").inputs
        assert governed.artifacts.read(inputs["transform_code"]["digest"]) == b"def transform(image): ...\n"
        assert inputs["network_code"] is None, "the candidate's own"

    @pytest.mark.parametrize("name", ["../../secret.pem", "/etc/passwd", "link.pem", "missing.py", "refactored", "."])
    def test_from_anywhere_else_is_refused(self, folder: Path, name: str) -> None:
        (folder / "link.pem").symlink_to(folder.parents[1] / "secret.pem")
        with pytest.raises(UserError, match="is no file below"):
            _ = operator(folder, network_code=name).inputs


class TestTolerances:
    @pytest.mark.parametrize(
        ("tolerances", "said"),
        [({"output": 1.0}, "no tolerances"), ({"outputs": -1.0}, "lets nothing pass"), ({"outputs": "x"}, "no tol")],
    )
    def test_that_are_wrong_are_an_import_error(self, folder: Path, tolerances: Any, said: str) -> None:
        with pytest.raises(UserError, match=said):
            operator(folder, tolerances=tolerances)


def test_an_evaluation_against_a_candidate_asks_for_no_champion(governed: Governed) -> None:
    some: dict[str, Any] = {"model": {}, "tensors": {}, "classes": ["a"], "run": {}, "use_case": "digits"}
    asked = EvaluateOperator(task_id="evaluate", against={"digest": "sha256:a"}, **some).inputs
    assert (asked["champion"], asked["against"]) == ("", {"digest": "sha256:a"})


class TestPromoting:
    @pytest.fixture
    def candidate(self, governed: Governed) -> Artifact:
        made = candidate_of(governed, governed.manifest())
        decide(governed, made, "model")
        return made

    def promote(self, manifest: Artifact) -> None:
        plain = msgspec.to_builtins(manifest)
        promote(use_case="digits", gate="model", manifest=plain, queue=QUEUE).execute(context("promote"))

    def test_a_revision_takes_the_place_of_its_candidate_that_still_waits(
        self, governed: Governed, candidate: Artifact, supervisor: FakeSupervisor
    ) -> None:
        revision = revision_of(governed, candidate)
        self.promote(candidate)
        record = decide(governed, revision, "revision")
        self.promote(revision)
        assert [(item.manifest, item.decision) for item in governed.queue.waiting(QUEUE)] == [
            (revision.digest, record.hash)
        ]
        claimed = claim(use_case="digits", gate="model", queue=QUEUE).execute(context("claim"))
        assert (claimed["manifest"]["digest"], claimed["decision"]) == (revision.digest, record.hash)
        assert supervisor.sent == [], "nothing is left in the queue"

    def test_a_revision_that_nobody_reviewed_is_queued_by_nobody(
        self, governed: Governed, candidate: Artifact, supervisor: FakeSupervisor
    ) -> None:
        revision = revision_of(governed, candidate)
        with pytest.raises(AirflowFailException, match="at the revision gate of digits"):
            self.promote(revision)
        assert governed.queue.waiting(QUEUE) == []
        governed.queue.put(QUEUE, revision.digest, "sha256:" + "d" * 64)
        with pytest.raises(AirflowFailException, match="at the revision gate of digits"):
            claim(use_case="digits", gate="model", queue=QUEUE).execute(context("claim"))

    def test_a_rework_of_a_rejected_revision_works_on_the_candidate_again(
        self, governed: Governed, candidate: Artifact, supervisor: FakeSupervisor
    ) -> None:
        revision = revision_of(governed, candidate)
        decide(governed, revision, "revision", approve=False)
        conf = {"rework": {"step": "revise", "chain": [revision.digest, candidate.digest]}}
        claimed = claim(use_case="digits", gate="model", queue="digits/revision").execute(context("claim", conf=conf))
        assert claimed["manifest"]["digest"] == candidate.digest
