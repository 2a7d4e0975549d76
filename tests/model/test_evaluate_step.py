"""Evaluate: what it stores and what it refuses, on a small model and a real MLflow server."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from airlock.governance.manifest import CandidateManifest, load, put
from airlock.model.evaluation.report import flips
from airlock.model.registry import Registry
from airlock.model.storage import load_model
from airlock.model.tensors import Split
from airlock.references import Artifact, TrackingRun
from airlock.settings import Settings
from airlock.stores.artifacts import ArtifactStore, open_artifacts
from tests.model.candidates import Step, evaluated, evaluation, failure, model_of, prepared, registration
from tests.model.conftest import CLASSES, builtins, store_tensors

__all__ = ["evaluation", "prepared", "registration"]

pytestmark = pytest.mark.integration


class TestEvaluate:
    def test_stores_figures_and_picture_and_logs_them_to_the_run(
        self, model_step: Step, evaluation: dict[str, Any], artifacts: ArtifactStore, registry: Registry
    ) -> None:
        result = model_step("evaluate", **evaluation)
        read = json.loads(artifacts.read(result.outputs["evaluation"]["digest"]))
        assert read["accuracy"] == result.outputs["accuracy"] > 0.6
        assert read["count"] == sum(figures["support"] for figures in read["per_class"].values())
        assert list(read["per_class"]) == CLASSES
        assert artifacts.read(result.outputs["picture"]["digest"])[:4] == b"\x89PNG"
        assert result.links["Confusion matrix"] == result.outputs["picture"]["digest"]
        assert result.links["Report"] == result.outputs["report"]["digest"]
        facts = registry.run_facts(msgspec.convert(evaluation["run"], TrackingRun))
        assert (facts.status, facts.url) == ("FINISHED", result.links["MLflow run"])

    def test_says_what_was_answered_to_which_sample_and_how_sure_the_figures_are(
        self,
        model_step: Step,
        evaluation: dict[str, Any],
        artifacts: ArtifactStore,
        few_digits: dict[str, Split],
        mlflow_server: str,
    ) -> None:
        result = model_step("evaluate", **evaluation)
        read = evaluated(artifacts, result)
        told = read.predictions
        assert told is not None
        assert told.samples == [name.decode() for name in few_digits["test"].ids]
        assert told.truth == few_digits["test"].y.tolist()
        wrong = [name for name, *pair in zip(told.samples, told.truth, told.answer, strict=True) if pair[0] != pair[1]]
        assert sorted(read.errors) == sorted(wrong), "every error has its picture"
        assert len(wrong) == round((1 - read.accuracy) * read.count)
        low, high = read.intervals["accuracy"]
        assert low < read.accuracy < high
        from mlflow import MlflowClient

        logged = MlflowClient(mlflow_server).get_run(evaluation["run"]["run_id"]).data.metrics
        assert (logged["test_accuracy_low"], logged["test_accuracy_high"]) == (low, high)
        assert {"test_macro_f1_low", "test_ece", "test_flops", "test_ms_per_sample_p99_64"} <= set(logged)

    def test_says_how_far_probabilities_hold_and_what_the_model_costs(
        self, model_step: Step, evaluation: dict[str, Any], artifacts: ArtifactStore
    ) -> None:
        read = evaluated(artifacts, model_step("evaluate", **evaluation))
        assert set(read.figures) == {"log_loss", "brier", "ece"}
        assert read.calibration is not None
        assert read.calibration.temperature is not None
        assert sum(each.count for each in read.calibration.bins) == read.count
        cost = read.footprint
        assert cost is not None
        assert cost.parameters == cost.trainable == 64 * 32 + 32 + 32 * 10 + 10
        assert cost.weight_bytes == 4 * cost.parameters
        products = 2 * (64 * 32 + 32 * 10)
        assert cost.flops is not None
        assert products <= cost.flops <= 1.2 * products, "what is not a matrix product is small"
        assert cost.times_ms["p50_1"] <= cost.times_ms["p99_1"]
        assert cost.peak_bytes > 50 << 20

    def test_nothing_is_computed_twice(
        self, model_step: Step, evaluation: dict[str, Any], artifacts: ArtifactStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sliced = evaluation | {"slices": [{"name": "threes", "where": "label == '3'"}]}
        first = evaluated(artifacts, model_step("evaluate", **sliced))

        def never(*arguments: Any) -> Any:
            raise AssertionError("it was computed again")

        monkeypatch.setattr("airlock.model.evaluation.footprint.footprint", never)
        monkeypatch.setattr("airlock.steps.evaluation.answer", never)
        again = evaluated(artifacts, model_step("evaluate", **sliced))
        assert again == first

    def test_the_sealed_store_alone_holds_what_shows_test_samples(
        self, model_step: Step, evaluation: dict[str, Any], tracked_settings: Settings, mlflow_server: str
    ) -> None:
        outputs = model_step("evaluate", **evaluation).outputs
        opened = open_artifacts(tracked_settings.artifacts)
        for name in ("evaluation", "report"):
            with pytest.raises(ValueError, match="not in the store"):
                opened.read(outputs[name]["digest"])
        from mlflow import MlflowClient

        folder = MlflowClient(mlflow_server).download_artifacts(evaluation["run"]["run_id"], "evaluation_test.html")
        page = Path(folder).read_text()
        assert "Confusion and calibration" in page
        assert "flipped" not in page

    def test_a_missed_threshold_fails_after_everything_was_stored(
        self, model_step: Step, evaluation: dict[str, Any], artifacts: ArtifactStore
    ) -> None:
        slices = [
            {"name": "threes", "where": "label == '3'", "min_accuracy": 1.0, "max_log_loss": 0.0},
            {"name": "nobody", "where": "label == 'x'", "min_accuracy": 0.5},
        ]
        result = model_step("evaluate", **evaluation | {"slices": slices})
        refused = failure(result)
        assert refused.category == "user"
        assert "threes: log_loss" in refused.message
        assert "max_log_loss is 0" in refused.message
        page = artifacts.read(result.links["Report"]).decode()
        assert "✗ missed" in page
        assert "! empty" in page, "an empty slice is not silently good"

    def test_a_column_that_the_data_lacks_is_named(self, model_step: Step, evaluation: dict[str, Any]) -> None:
        slices = [{"name": "small", "where": "width < 10"}]
        assert "'width', which is no column" in failure(model_step("evaluate", **evaluation, slices=slices)).message


class TestEvaluateBesideTheChampion:
    @pytest.fixture
    def champion(
        self, model_step: Step, registration: dict[str, Any], artifacts: ArtifactStore, tmp_path: Path
    ) -> CandidateManifest:
        """Give a champion that knows little: the same network, trained for one epoch."""
        training = {name: registration[name] for name in ("tensors", "parameters", "seed")}
        training["parameters"] = training["parameters"] | {"epochs": 1}
        code = {"code": registration["network_code"], "classes": CLASSES, "experiment": "digits"}
        trained = model_step("train", **training, **code).outputs
        made = load(artifacts, model_step("register", **registration).outputs["manifest"]["digest"], CandidateManifest)
        return msgspec.structs.replace(made, model=msgspec.convert(trained["model"], Artifact))

    def test_flips_are_those_of_both_models_on_these_samples(
        self,
        model_step: Step,
        evaluation: dict[str, Any],
        champion: CandidateManifest,
        artifacts: ArtifactStore,
        few_digits: dict[str, Split],
        tmp_path: Path,
    ) -> None:
        asked = evaluation | {"champion": put(artifacts, champion).digest}
        result = model_step("evaluate", **asked, slices=[{"name": "all", "max_points_lost": 0}])
        read = evaluated(artifacts, result)
        models = [artifacts.fetch(each, tmp_path / each.digest[-6:]) for each in (champion.model, model_of(evaluation))]
        split = few_digits["test"]
        before, now = (load_model(path.rename(f"{path}.keras")).predict(split.x).argmax(axis=1) for path in models)
        wanted = {
            "gained": split.ids[(now == split.y) & (before != split.y)],
            "lost": split.ids[(now != split.y) & (before == split.y)],
        }
        found = flips(read)
        assert found is not None
        assert len(found.gained) > 3, "the champion is worse"
        for name, ids in wanted.items():
            told = getattr(found, name)
            assert sorted(flip.sample for flip in told) == sorted(each.decode() for each in ids)
            assert all(flip.picture for flip in told), "every flip is shown"
        assert read.champion is not None
        gained = 100 * (read.accuracy - read.champion.measured.figures["accuracy"])
        assert result.outputs["points_gained"] == pytest.approx(gained, abs=1e-3)
        assert read.slices[0].points_lost == pytest.approx(-gained, abs=1e-3)
        page = artifacts.read(result.links["Report"]).decode()
        assert "Wrong before, right now" in page
        assert "McNemar's exact test" in page

    def test_a_champion_with_other_classes_is_compared_by_name(
        self, model_step: Step, evaluation: dict[str, Any], champion: CandidateManifest, artifacts: ArtifactStore
    ) -> None:
        turned = msgspec.structs.replace(champion, classes=["ten", *CLASSES[1:]], model=model_of(evaluation))
        read = evaluated(artifacts, model_step("evaluate", **evaluation | {"champion": put(artifacts, turned).digest}))
        found = flips(read)
        assert found is not None
        assert found.lost == []
        assert {flip.truth for flip in found.gained} == {"0"}, "the champion does not know this class"

    def test_a_worse_candidate_is_refused_with_the_points_it_lost(
        self, model_step: Step, evaluation: dict[str, Any], champion: CandidateManifest, artifacts: ArtifactStore
    ) -> None:
        better = msgspec.structs.replace(champion, model=model_of(evaluation))
        worse = evaluation | {"model": builtins(champion.model), "champion": put(artifacts, better).digest}
        refused = failure(model_step("evaluate", **worse, slices=[{"name": "all", "max_points_lost": 1.0}]))
        assert "points of accuracy lost against the champion" in refused.message
        assert "max_points_lost is 1" in refused.message

    def test_a_champion_that_is_gone_does_not_keep_a_candidate_from_being_measured(
        self, model_step: Step, evaluation: dict[str, Any], artifacts: ArtifactStore
    ) -> None:
        result = model_step("evaluate", **evaluation | {"champion": "sha256:" + "0" * 64})
        read = evaluated(artifacts, result)
        assert read.champion is None
        assert "could not be asked" in read.notes[0]
        assert result.outputs["points_gained"] is None


class TestEvaluateRefuses:
    def test_an_altered_model_is_refused(self, model_step: Step, evaluation: dict[str, Any], tmp_path: Path) -> None:
        digest = evaluation["model"]["digest"].removeprefix("sha256:")
        path = tmp_path / "artifacts" / "objects" / digest[:2] / digest[2:]
        path.write_bytes(path.read_bytes() + b"x")
        refused = failure(model_step("evaluate", **evaluation))
        assert refused.kind == "IntegrityError"
        assert "was altered" in refused.message

    def test_an_empty_split_is_refused(
        self,
        model_step: Step,
        evaluation: dict[str, Any],
        artifacts: ArtifactStore,
        few_digits: dict[str, Split],
        tmp_path: Path,
    ) -> None:
        without = few_digits | {"test": Split(*(part[:0] for part in few_digits["test"]))}
        evaluation["tensors"] = builtins(store_tensors(artifacts, tmp_path / "without", without))
        assert failure(model_step("evaluate", **evaluation)).message == "The split 'test' holds no sample."

    def test_other_classes_than_the_models_are_refused(self, model_step: Step, evaluation: dict[str, Any]) -> None:
        refused = failure(model_step("evaluate", **evaluation | {"classes": CLASSES[:9]}))
        assert "answers with 10 classes, but 9 are named" in refused.message
