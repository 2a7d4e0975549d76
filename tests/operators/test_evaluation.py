"""What the evaluate and register operators check when a DAG is parsed, and what they add when they run."""

from pathlib import Path
from typing import Any

import pytest

from airlock.errors import UserError
from airlock.governance.manifest import CandidateManifest, ReleaseManifest, put
from airlock.operators.model import EvaluateOperator, RegisterOperator
from airlock.references import Artifact
from tests.governed import Governed

IDS = [f"{number:064x}" for number in range(2)]
SOME: dict[str, Any] = {"model": {}, "tensors": {}, "classes": ["a"], "run": {}}


def serve(governed: Governed, candidate: CandidateManifest) -> str:
    """Let the ledger say that a candidate serves; return its manifest's digest."""
    some = governed.artifacts.put(b"some")
    digest = put(governed.artifacts, candidate).digest
    release = ReleaseManifest(
        use_case="digits",
        classes=["0", "1"],
        candidate=digest,
        package=some,
        model=some,
        comparison=some,
        metrics={},
    )
    body = {"use_case": "digits", "manifest": put(governed.artifacts, release).digest, "target": "local"}
    governed.ledger.append("deployment", body)
    return digest


def operator(**changes: Any) -> EvaluateOperator:
    return EvaluateOperator(task_id="evaluate", **SOME | changes)


class TestWhenItIsParsed:
    @pytest.mark.parametrize(
        ("declared", "said"),
        [
            ({"name": "a", "where": "__import__('os')"}, "has a Call in it"),
            ({"name": "a", "min_accuracy": 90}, "min_accuracy"),
            ({"name": "a", "samples": "/nowhere/hard.txt"}, "cannot be read"),
        ],
    )
    def test_a_slice_that_is_wrong_is_an_import_error(self, declared: dict[str, Any], said: str) -> None:
        with pytest.raises(UserError, match=said):
            operator(slices=[declared])

    def test_a_card_that_is_wrong_is_an_import_error(self) -> None:
        names = ("data", "tensors", "model", "run", "evaluation", "picture")
        given: dict[str, Any] = {name: {} for name in names} | {"use_case": "d", "parameters": {}}
        with pytest.raises(UserError, match="intended_use"):
            RegisterOperator(
                task_id="register", transform_code=__file__, network_code=__file__, card={"summary": "x"}, **given
            )


class TestWhenItRuns:
    def test_a_saved_list_becomes_an_artifact(self, governed: Governed, tmp_path: Path) -> None:
        path = tmp_path / "hard.txt"
        path.write_text("\n".join(IDS))
        (declared,) = operator(slices=[{"name": "hard", "samples": str(path)}]).inputs["slices"]
        stored = Artifact(digest=declared["samples"]["digest"], size=declared["samples"]["size"])
        assert governed.artifacts.read(stored.digest).decode().split() == IDS
        assert declared["samples"]["ref"] == "artifact"

    def test_without_a_use_case_no_champion_is_looked_for(self, governed: Governed) -> None:
        assert operator().inputs["champion"] == ""

    def test_the_champion_is_the_candidate_behind_what_serves_by_the_ledger(self, governed: Governed) -> None:
        from tests.model.test_card import candidate

        assert operator(use_case="digits").inputs["champion"] == "", "nothing serves yet"
        wanted = candidate(data=governed.manifest().digest)
        digest = serve(governed, wanted)
        assert operator(use_case="digits").inputs["champion"] == digest
        assert operator(use_case="fashion").inputs["champion"] == ""
        own = {"ref": "artifact", "digest": wanted.model.digest, "size": wanted.model.size}
        assert operator(use_case="digits", model=own).inputs["champion"] == "", "it would be compared with itself"
