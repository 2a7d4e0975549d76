"""Compress: what it tries, picks and refuses, on a small model and a real MLflow server."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from airlock.governance.comparison import Comparison, compare
from airlock.governance.evidence.sections import SECTIONS
from airlock.governance.manifest import ReleaseManifest, put
from airlock.model.compression.workshop import Workshop
from airlock.model.runtimes import open_model
from airlock.model.tensors import Split
from airlock.references import Artifact
from airlock.stores.artifacts import ArtifactStore
from tests.model.candidates import Step, failure, prepared, registration
from tests.model.conftest import CLASSES

__all__ = ["prepared", "registration"]

pytestmark = pytest.mark.integration
WAYS: list[Any] = ["litert_dynamic", "onnx_int8_static", {"method": "low_rank", "rank": 0.9}]
LENIENT = {"max_points_lost": 20}
SLICES = [{"name": "three or eight", "where": "label in ['3', '8']"}, {"name": "nothing", "where": "label == 'x'"}]


def forbidden(*_: object) -> None:
    raise AssertionError("a file is made again")


def release_evidence(compared: Comparison) -> list[str]:
    """Return what the gate's page says of every way, as one text."""
    return ["\n".join(SECTIONS["release"](compared, ""))]


class TestCompress:
    @pytest.fixture
    def manifest(self, model_step: Step, registration: dict[str, Any]) -> dict[str, Any]:
        registered: dict[str, Any] = model_step("register", **registration).outputs["manifest"]
        return registered

    @pytest.fixture
    def smaller(self, model_step: Step, manifest: dict[str, Any]) -> dict[str, Any]:
        """Give the outputs of a compression in three ways, one of which the model cannot take."""
        result = model_step("compress", manifest=manifest, methods=WAYS, rule=LENIENT, slices=SLICES)
        outputs: dict[str, Any] = result.outputs
        return outputs

    def test_the_picked_file_takes_batches_of_any_size_and_is_what_the_figures_are_about(
        self, smaller: dict[str, Any], artifacts: ArtifactStore, few_digits: dict[str, Split], tmp_path: Path
    ) -> None:
        x = few_digits["test"].x
        path = artifacts.fetch(msgspec.convert(smaller["model"], Artifact), tmp_path / "picked")
        model = open_model(path)
        assert (model.engine, model.shape, model.classes) == (smaller["engine"], (8, 8, 1), 10)
        batch = model.predict(x)
        one_by_one = np.concatenate([model.predict(x[place : place + 1]) for place in range(len(x))])
        assert np.allclose(batch, one_by_one, atol=0.05), "a batch answers like its samples"
        assert smaller["bytes"] == path.stat().st_size
        assert smaller["accuracy"] == pytest.approx((batch.argmax(axis=1) == few_digits["test"].y).mean())

    def test_the_release_gate_shows_every_way_that_was_tried(
        self, smaller: dict[str, Any], manifest: dict[str, Any], artifacts: ArtifactStore
    ) -> None:
        release = ReleaseManifest(
            use_case="small",
            classes=CLASSES,
            candidate=manifest["digest"],
            package=msgspec.convert(smaller["model"], Artifact),
            model=msgspec.convert(smaller["model"], Artifact),
            comparison=msgspec.convert(smaller["comparison"], Artifact),
            metrics={"accuracy": smaller["accuracy"]},
        )
        compared = compare(artifacts, put(artifacts, release).digest, "")
        small = compared.compression
        assert small is not None
        assert small.paired is not None
        assert round(-100 * small.paired.difference, 4) == round(small.points_lost, 4)
        (accuracy,) = (metric for metric in small.figures if metric.name == "accuracy")
        assert accuracy.interval is not None
        assert accuracy.now is not None
        assert accuracy.interval[0] < accuracy.now < accuracy.interval[1]
        assert small.frontier is not None
        first, dynamic, static, whole = small.frontier.rows
        assert (first.method, first.test[0].points_lost, first.picked) == ("original", 0.0, False)
        assert [row.picked for row in (dynamic, static)].count(True) == 1
        assert "No Dense or Conv2D layer" in whole.failed
        assert [each.slice for each in dynamic.validation] == ["whole split", "three or eight"]
        assert dynamic.measured is not None
        assert dynamic.measured.peak_bytes is not None
        assert 2**24 < dynamic.measured.peak_bytes < 2**29
        (said,) = release_evidence(compared)
        for row in small.frontier.rows:
            assert row.method in said
        assert "**picked**" in said
        assert "three or eight" in said

    def test_the_report_has_every_way_and_the_picture(self, smaller: dict[str, Any], artifacts: ArtifactStore) -> None:
        page = artifacts.read(smaller["report"]["digest"]).decode()
        for said in ("litert_dynamic", "onnx_int8_static", "failed: No Dense", "three or eight", "Pareto front"):
            assert said in page
        assert artifacts.read(smaller["picture"]["digest"]).startswith(b"\x89PNG")

    def test_a_rule_that_nothing_passes_is_refused_with_each_method_and_what_it_lost(
        self, model_step: Step, manifest: dict[str, Any], artifacts: ArtifactStore
    ) -> None:
        result = model_step("compress", manifest=manifest, methods=WAYS, rule={"max_points_lost": -100})
        refused = failure(result)
        assert refused.category == "user"
        assert "No method passes the rule" in refused.message
        assert "litert_dynamic loses" in refused.message
        assert "validation samples" in refused.message
        assert "low_rank(rank=0.9) failed: No Dense" in refused.message
        assert "Loosen the rule" in refused.hint
        figures = json.loads(artifacts.read(result.links["Figures"]))
        assert [row["method"] for row in figures["rows"]][:2] == ["original", "litert_dynamic"], "figures stay readable"

    def test_a_try_after_one_that_was_killed_makes_no_file_again(
        self, model_step: Step, manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        anything = {"pick": "smallest", "max_points_lost": 100.0, "max_slice_points_lost": 100.0}
        learning = {"method": "magnitude_pruning", "epochs": 1}
        first = model_step("compress", manifest=manifest, methods=[learning], rule=anything).outputs
        monkeypatch.setattr(Workshop, "make", forbidden)
        second = model_step("compress", manifest=manifest, methods=[learning], rule=anything)
        second.raise_failure()
        assert second.outputs["model"] == first["model"]

    def test_methods_that_are_not_valid_are_refused(self, model_step: Step, manifest: dict[str, Any]) -> None:
        refused = failure(model_step("compress", manifest=manifest, methods=["litert_int3"]))
        assert "'litert_int3' is not valid" in refused.message

    def test_a_data_manifest_is_no_candidate(self, model_step: Step, registration: dict[str, Any]) -> None:
        refused = failure(model_step("compress", manifest=registration["data"], methods=["litert_dynamic"]))
        assert refused.kind == "IntegrityError"
