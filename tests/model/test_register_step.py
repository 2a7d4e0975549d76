"""Register: what it ties together and what it refuses, on a small model and a real MLflow server."""

import json
from typing import Any

import msgspec
import pytest

from airlock.governance.manifest import CandidateManifest, load, put
from airlock.model.registry import Registry
from airlock.references import ModelVersion
from airlock.settings import Settings
from airlock.stores.artifacts import ArtifactStore
from tests.model.candidates import Step, data_manifest, failure, prepared, registration
from tests.model.conftest import CLASSES, builtins

__all__ = ["prepared", "registration"]

pytestmark = pytest.mark.integration


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
