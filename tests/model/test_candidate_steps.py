"""Evaluate, register and compress: what they refuse, on a small model and a real MLflow server."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from airlock.governance.comparison import Comparison, compare
from airlock.governance.evaluations import Evaluation
from airlock.governance.evidence.sections import SECTIONS
from airlock.governance.manifest import CandidateManifest, DataManifest, ReleaseManifest, load, put
from airlock.model.compression.workshop import Workshop
from airlock.model.evaluation.report import flips
from airlock.model.registry import Registry
from airlock.model.runtimes import open_model
from airlock.model.storage import load_model
from airlock.model.tensors import Split
from airlock.references import Artifact, DatasetVersion, LabelSet, ModelVersion, TrackingRun
from airlock.settings import Settings
from airlock.steps.contract import Failure, Result
from airlock.steps.runner import run_spec
from airlock.stores.artifacts import ArtifactStore, open_artifacts
from tests.model.conftest import CLASSES, builtins, make_spec, store_tensors, training_inputs

pytestmark = pytest.mark.integration
Step = Callable[..., Result]
WAYS: list[Any] = ["litert_dynamic", "onnx_int8_static", {"method": "low_rank", "rank": 0.9}]
LENIENT = {"max_points_lost": 20}
SLICES = [{"name": "three or eight", "where": "label in ['3', '8']"}, {"name": "nothing", "where": "label == 'x'"}]


@pytest.fixture(scope="module")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, mlflow_server: str, few_digits: dict[str, Split]
) -> tuple[Path, dict[str, Any]]:
    """Train and evaluate once; give the folder of the stores and the register step's inputs."""
    folder = tmp_path_factory.mktemp("candidate")
    settings = Settings(home=str(folder), artifacts=(folder / "artifacts").as_uri(), tracking=mlflow_server)
    artifacts = open_artifacts(settings.artifacts)
    training = training_inputs(artifacts, folder / "few", few_digits)
    training["parameters"] = {"epochs": 8, "batch_size": 32, "learning_rate": 0.01}
    trained = run_spec(make_spec("train", training), settings).outputs
    subject = {"model": trained["model"], "tensors": training["tensors"], "run": trained["run"]}
    evaluated = run_spec(make_spec("evaluate", subject | {"classes": CLASSES}), settings).outputs
    return folder, {
        "use_case": "small",
        "data": builtins(put(artifacts, data_manifest(artifacts))),
        **subject,
        **{name: evaluated[name] for name in ("evaluation", "picture")},
        "transform_code": training["code"],
        "network_code": training["code"],
        "parameters": training["parameters"],
        "seed": 7,
        "code": {"commit": "0" * 40, "dirty": ""},
    }


@pytest.fixture
def registration(prepared: tuple[Path, dict[str, Any]], tmp_path: Path) -> dict[str, Any]:
    """Give the register step's inputs, on a copy of the store that the test may damage."""
    folder, inputs = prepared
    for name in ("artifacts", "sealed"):
        shutil.copytree(folder / name, tmp_path / name)
    return copy.deepcopy(inputs)


def forbidden(*_: object) -> None:
    raise AssertionError("a file is made again")


def release_evidence(compared: Comparison) -> list[str]:
    """Return what the gate's page says of every way, as one text."""
    return ["\n".join(SECTIONS["release"](compared, ""))]


@pytest.fixture
def evaluation(registration: dict[str, Any]) -> dict[str, Any]:
    """Give the evaluate step's inputs."""
    return {name: registration[name] for name in ("model", "tensors", "run")} | {"classes": CLASSES}


def data_manifest(artifacts: ArtifactStore, classes: list[str] = CLASSES) -> DataManifest:
    dataset = DatasetVersion(name="small", version=1, digest="sha256:" + "1" * 64, rows=360)
    labels = LabelSet(digest="sha256:" + "2" * 64, dataset=dataset.digest, rows=360)
    some = artifacts.put(b"{}")
    return DataManifest(
        use_case="small",
        classes=classes,
        dataset=dataset,
        labels=labels,
        split=some,
        report=some,
        dropped=some,
        counts={},
    )


def failure(result: Result) -> Failure:
    assert result.failure is not None, "the step must fail"
    assert result.outputs == {}
    return result.failure


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
        read = msgspec.json.decode(artifacts.read(result.outputs["evaluation"]["digest"]), type=Evaluation)
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


def evaluated(artifacts: ArtifactStore, result: Result) -> Evaluation:
    assert result.failure is None, result.failure
    return msgspec.json.decode(artifacts.read(result.outputs["evaluation"]["digest"]), type=Evaluation)


def model_of(evaluation: dict[str, Any]) -> Artifact:
    return msgspec.convert(evaluation["model"], Artifact)


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


class TestRegister:
    def test_ties_everything_into_the_manifest_and_names_the_challenger(
        self, model_step: Step, registration: dict[str, Any], artifacts: ArtifactStore, registry: Registry
    ) -> None:
        result = model_step("register", **registration)
        assert result.failure is None
        manifest = load(artifacts, result.outputs["manifest"]["digest"], CandidateManifest)
        assert manifest.model.digest == registration["model"]["digest"]
        assert manifest.data == registration["data"]["digest"]
        assert manifest.metrics == result.metrics
        version = msgspec.convert(result.outputs["version"], ModelVersion)
        assert registry.alias("small", "challenger") == version
        assert registry.version_tags(version)["airlock.manifest"] == result.outputs["manifest"]["digest"]
        assert result.links["Manifest"] == result.outputs["manifest"]["digest"]

    def test_writes_a_card_that_the_manifest_the_run_and_the_version_have(
        self, model_step: Step, registration: dict[str, Any], artifacts: ArtifactStore, mlflow_server: str
    ) -> None:
        card = {"intended_use": "Reads digits.", "claims": {"accuracy": 0.0}}
        result = model_step("register", **registration, card=card)
        manifest = load(artifacts, result.outputs["manifest"]["digest"], CandidateManifest)
        assert manifest.card_facts == card
        assert manifest.card is not None
        assert manifest.card_text is not None
        assert result.links["Model card"] == manifest.card.digest
        text = artifacts.read(manifest.card_text.digest).decode()
        assert "## Intended use\n\nReads digits." in text
        assert "**outside the interval**" in text
        assert b"<h2>Quantitative analyses</h2>" in artifacts.read(manifest.card.digest)
        from mlflow import MlflowClient

        client = MlflowClient(mlflow_server)
        version = client.get_model_version("small", result.outputs["version"]["version"])
        assert version.description.startswith(text[:1000])
        files = {each.path for each in client.list_artifacts(registration["run"]["run_id"])}
        assert {"model_card.md", "model_card.html", "evaluation_test.html"} <= files

    def test_facts_for_the_card_that_are_wrong_are_refused(
        self, model_step: Step, registration: dict[str, Any]
    ) -> None:
        assert "intended_use" in failure(model_step("register", **registration, card={"ethics": "x"})).message

    def test_a_model_that_its_run_did_not_train_is_refused(
        self, model_step: Step, registration: dict[str, Any], artifacts: ArtifactStore
    ) -> None:
        other = builtins(artifacts.put(b"another model"))
        evaluated = json.loads(artifacts.read(registration["evaluation"]["digest"]))
        forged = builtins(artifacts.put(json.dumps(evaluated | {"model": other["digest"]}).encode()))
        refused = failure(model_step("register", **registration | {"model": other, "evaluation": forged}))
        assert refused.kind == "IntegrityError"
        assert "logged the model" in refused.message

    @pytest.mark.parametrize(
        ("claimed", "said"),
        [
            ({"parameters": {"epochs": 30, "batch_size": 32, "learning_rate": 0.01}}, "with epochs 8, not 30"),
            ({"parameters": {"epochs": 8, "batch_size": 32}}, "with learning_rate 0.01, not None"),
            ({"seed": 8}, "with seed 7, not 8"),
        ],
    )
    def test_parameters_that_its_run_was_not_trained_with_are_refused(
        self, model_step: Step, registration: dict[str, Any], claimed: dict[str, Any], said: str
    ) -> None:
        assert said in failure(model_step("register", **registration | claimed)).message

    def test_code_that_its_run_was_not_trained_with_is_refused(
        self, model_step: Step, registration: dict[str, Any], artifacts: ArtifactStore
    ) -> None:
        other = builtins(artifacts.put(b"def build(): ..."))
        refused = failure(model_step("register", **registration | {"network_code": other}))
        assert "trained with network_code" in refused.message

    def test_an_evaluation_of_another_model_is_refused(
        self, model_step: Step, registration: dict[str, Any], artifacts: ArtifactStore
    ) -> None:
        other = builtins(artifacts.put(b"another model"))
        refused = failure(model_step("register", **registration | {"model": other}))
        assert "The evaluation is of the model" in refused.message

    def test_classes_in_another_order_than_the_datas_are_refused(
        self, model_step: Step, registration: dict[str, Any], artifacts: ArtifactStore
    ) -> None:
        turned = builtins(put(artifacts, data_manifest(artifacts, CLASSES[::-1])))
        refused = failure(model_step("register", **registration | {"data": turned}))
        assert "was evaluated with the classes" in refused.message

    def test_a_tracking_server_that_is_down_is_infrastructure(
        self, model_step: Step, registration: dict[str, Any], tracked_settings: Settings
    ) -> None:
        down = msgspec.structs.replace(tracked_settings, tracking="http://127.0.0.1:9")
        assert failure(model_step("register", settings=down, **registration)).category == "infrastructure"


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
