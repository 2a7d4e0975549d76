"""``airlock model results``, ``compare`` and ``card`` on real stores."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from airlock.errors import UserError
from airlock.governance.evaluations import WHOLE_SPLIT, Measurement
from airlock.governance.forms import Field
from airlock.governance.manifest import put
from airlock.governance.policy import GatePolicy, Stage
from airlock.model.evaluation.kept import Kept
from airlock.references import Artifact
from airlock.settings import settings
from airlock.stores.layers import open_sealed
from tests.governed import Governed
from tests.model.test_card import DATASET, candidate, evaluation

POLICY = GatePolicy(
    stages=[Stage(roles=["model_validator"])],
    form={"risk": Field(title="How bad is a wrong answer?", options=["low", "high"])},
)


@pytest.fixture
def manifest(governed: Governed) -> Artifact:
    """Give a candidate's manifest whose model was measured once."""
    sealed = open_sealed(settings())
    measured = Measurement(
        model=candidate().model.digest,
        dataset=DATASET,
        split="test",
        slice=WHOLE_SPLIT,
        rule="every sample",
        count=297,
        figures={"accuracy": 0.9, "macro_f1": 0.89, "log_loss": 0.3, "ece": 0.02},
        intervals={
            "accuracy": (0.86, 0.93),
            "macro_f1": (0.85, 0.92),
            "log_loss": (0.25, 0.35),
            "ece": (0.01, 0.05),
        },
    )
    Kept(sealed).measurement(measured, "sha256:" + "c" * 64, lambda: measured)
    stored = sealed.put(msgspec.json.encode(evaluation()))
    return put(governed.artifacts, candidate(data=governed.manifest().digest, evaluation=stored))


class TestResults:
    def test_each_slice_of_each_dataset_version_stands_once(self, manifest: Artifact, airlock: Any) -> None:
        for named in (manifest.digest, manifest.digest.removeprefix("sha256:"), "sha256:aaaa"):
            said = airlock("model", "results", named).output
            assert "digits@3" in said
            assert "0.9000 (0.8600–0.9300)" in said

    def test_of_a_model_that_was_never_measured(self, governed: Governed, airlock: Any) -> None:
        error = airlock("model", "results", "sha256:" + "9" * 64).exception
        assert isinstance(error, UserError)
        assert "Nothing was measured of 999999999999" in str(error)


class TestCompare:
    def test_flags_a_claim_outside_the_measured_interval(
        self, manifest: Artifact, airlock: Any, tmp_path: Path
    ) -> None:
        said = airlock("model", "compare", "digits", manifest.digest, "9" * 64, "--html", tmp_path / "t.html").output
        assert "accuracy claimed 0.9700, measured 0.9000 (0.8600–0.9300): OUTSIDE the interval" in said
        assert "not measured on this" in said
        assert "claimed 0.9700, outside" in (tmp_path / "t.html").read_text()

    def test_on_data_that_nothing_was_measured_on(self, manifest: Artifact, airlock: Any) -> None:
        error = airlock("model", "compare", "fashion", manifest.digest).exception
        assert "There is digits@3" in str(error)
        other = airlock("model", "compare", "digits", manifest.digest, "--slice", "small").exception
        assert "Nothing was measured on 'digits'" in str(other)


class TestCard:
    def test_holds_the_answers_that_were_signed_at_the_gate(
        self, governed: Governed, manifest: Artifact, airlock: Any, tmp_path: Path
    ) -> None:
        request = governed.file(POLICY, manifest, gate="model", evidence="sha256:" + "e" * 64)
        before = airlock("model", "card", manifest.digest).output
        assert "The risk form of the model gate is not filled in." in before
        governed.decide(request, user="vera", roles=["model_validator"], answers={"risk": "high"})
        governed.close(request, "approved", "vera")
        said = airlock("model", "card", manifest.digest[:20], "--html", tmp_path / "card.html").output
        assert "| How bad is a wrong answer? | `high` |" in said
        assert manifest.digest in said
        assert "<code>high</code>" in (tmp_path / "card.html").read_text()

    def test_of_something_else_than_a_candidate(self, governed: Governed, airlock: Any) -> None:
        data = governed.manifest()
        governed.approve(data)
        assert "not the manifest it should be" in str(airlock("model", "card", data.digest).exception)
