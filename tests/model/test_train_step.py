"""The train step against a real MLflow server."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from airlock.model.names import MODEL
from airlock.model.registry import Registry
from airlock.model.tensors import Split
from airlock.progress import parse
from airlock.references import TrackingRun
from airlock.settings import Settings
from airlock.steps.contract import Result, Spec
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.layers import open_layers
from tests.model.conftest import builtins, make_spec, store_tensors, training_inputs
from tests.services.disk import Mount, small_disk

__all__ = ["small_disk"]
pytestmark = pytest.mark.integration
Step = Callable[..., Result]


def run_of(result: Result) -> TrackingRun:
    return msgspec.convert(result.outputs["run"], TrackingRun)


def run_behind_link(result: Result) -> TrackingRun:
    return TrackingRun(run_id=result.links["MLflow run"].rpartition("/")[2], experiment="digits")


def metric_steps(server: str, run: TrackingRun, metric: str) -> list[int]:
    query = {"run_id": run.run_id, "metric_key": metric}
    reply = httpx.get(f"{server}/api/2.0/mlflow/metrics/get-history", params=query)
    return [int(point["step"]) for point in reply.json()["metrics"]]


class TestATrainingThatSucceeds:
    @pytest.fixture
    def result(self, model_step: Step, training: dict[str, Any]) -> Result:
        result = model_step("train", **training)
        assert result.status == "succeeded", result.failure
        return result

    def test_leaves_a_finished_run_with_everything_in_it(
        self, result: Result, registry: Registry, mlflow_server: str, training: dict[str, Any]
    ) -> None:
        facts = registry.run_facts(run_of(result))
        assert facts.status == "FINISHED"
        assert facts.url == result.links["MLflow run"]
        assert facts.tags["airlock.tensors"] == training["tensors"]["digest"]
        assert facts.tags["airlock.model"] == result.outputs["model"]["digest"]
        assert facts.tags["airlock.seed"] == "7"
        assert '"tensorflow"' in facts.tags["airlock.environment"]
        assert metric_steps(mlflow_server, run_of(result), "val_loss") == [1, 2, 3]
        assert result.metrics["validation_accuracy"] > 0.5

    def test_logs_a_model_that_mlflow_loads(
        self, result: Result, registry: Registry, few_digits: dict[str, Split]
    ) -> None:
        import mlflow

        mlflow.set_tracking_uri(registry.url)
        tags = registry.run_facts(run_of(result)).tags
        loaded = mlflow.pyfunc.load_model(f"models:/{tags['airlock.logged_model']}")
        assert loaded.predict(few_digits["test"].x[:3]).shape == (3, 10)

    def test_trained_again_gives_the_same_bytes_in_a_new_run(
        self, result: Result, model_step: Step, training: dict[str, Any]
    ) -> None:
        again = model_step("train", **training)
        assert again.outputs["model"] == result.outputs["model"], "one seed, one model"
        assert run_of(again) != run_of(result)


class TestATrainingThatIsKilled:
    EPOCHS = 12

    @pytest.fixture
    def killed(self, tracked_settings: Settings, artifacts: ArtifactStore, training: dict[str, Any]) -> Spec:
        """Kill the first try's subprocess in its fourth epoch; give its spec."""
        training |= {"checkpoint_seconds": 0}
        training["parameters"]["epochs"] = self.EPOCHS
        spec = make_spec("train", training)
        artifacts.create_document("specs/killed.json", msgspec.json.encode(spec))
        command = [sys.executable, "-m", "airlock.steps", "train", "--spec", "specs/killed.json"]
        environment = os.environ | tracked_settings.environment()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if (found := parse(line.strip())) and found.done == 3:
                    process.send_signal(signal.SIGKILL)
                    break
        assert process.returncode == -signal.SIGKILL
        return spec

    def test_leaves_nothing_and_its_retry_goes_on_in_the_same_run(
        self,
        killed: Spec,
        artifacts: ArtifactStore,
        registry: Registry,
        model_step: Step,
        training: dict[str, Any],
        mlflow_server: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert artifacts.document(killed.result) is None, "a killed step has no result"
        retried = model_step("train", attempt=2, **training)
        assert retried.status == "succeeded", retried.failure
        done = [found.done for line in capsys.readouterr().out.splitlines() if (found := parse(line))]
        assert 3 <= done[0] <= 4, "the retry starts after the last checkpoint, not at the beginning"
        assert done[-1] == self.EPOCHS
        steps = metric_steps(mlflow_server, run_of(retried), "loss")
        assert sorted(set(steps)) == list(range(1, self.EPOCHS + 1)), "both tries wrote to one run"
        assert registry.run_facts(run_of(retried)).status == "FINISHED"

        uninterrupted = model_step("train", **training)
        assert uninterrupted.outputs["model"] == retried.outputs["model"], "resuming changes nothing"
        assert run_of(uninterrupted) != run_of(retried)

    def test_and_never_tried_again_leaves_no_run_that_seems_to_be_running(
        self, killed: Spec, registry: Registry
    ) -> None:
        assert registry.end_runs("digits", killed.run.owner) == 1
        assert registry.end_runs("digits", killed.run.owner) == 0
        assert registry.end_runs("no such experiment", killed.run.owner) == 0


class TestATrainingThatCannotSucceed:
    def test_a_loss_that_is_no_number_fails_the_run_and_names_the_knob(
        self, model_step: Step, training: dict[str, Any], registry: Registry
    ) -> None:
        training["parameters"]["learning_rate"] = 1e38
        result = model_step("train", **training)
        assert result.failure is not None
        assert result.failure.category == "user"
        assert "diverged in epoch 1" in result.failure.message
        assert "learning_rate" in result.failure.hint
        facts = registry.run_facts(run_behind_link(result))
        assert facts.status == "FAILED"
        assert "airlock.logged_model" not in facts.tags

    def test_a_class_without_training_samples_is_named(
        self,
        model_step: Step,
        training: dict[str, Any],
        artifacts: ArtifactStore,
        few_digits: dict[str, Split],
        tmp_path: Path,
    ) -> None:
        keep = few_digits["train"].y != 3
        without = few_digits | {"train": Split(*(part[keep] for part in few_digits["train"]))}
        training["tensors"] = builtins(store_tensors(artifacts, tmp_path / "without", without))
        result = model_step("train", **training)
        assert result.failure is not None
        assert result.failure.message == "The train split has no sample of class '3'."

    def test_a_tracking_server_that_is_down_is_infrastructure(
        self, model_step: Step, training: dict[str, Any], tracked_settings: Settings
    ) -> None:
        down = msgspec.structs.replace(tracked_settings, tracking="http://127.0.0.1:9")
        result = model_step("train", settings=down, **training)
        assert result.failure is not None
        assert result.failure.category == "infrastructure"
        assert "http://127.0.0.1:9 does not answer" in result.failure.message

    def test_a_full_disk_is_named_and_nothing_half_written_is_registered(
        self,
        model_step: Step,
        few_digits: dict[str, Split],
        tracked_settings: Settings,
        registry: Registry,
        small_disk: Mount,
        tmp_path: Path,
    ) -> None:
        disk = small_disk("store", 600)
        settings = msgspec.structs.replace(tracked_settings, artifacts=disk.as_uri())
        inputs = training_inputs(open_layers(settings), tmp_path / "tensors", few_digits)
        inputs |= {"checkpoint_seconds": 0, "experiment": "full disk"}
        left = shutil.disk_usage(disk).free - 16 * 1024  # for the result, which says it
        (disk / "filler").write_bytes(bytes(left))
        result = model_step("train", settings=settings, **inputs)
        assert result.failure is not None
        assert result.failure.category == "resource"
        assert re.search(r"No space left.*Free disk space", result.failure.message + result.failure.hint)
        facts = registry.run_facts(run_behind_link(result))
        assert facts.status == "FAILED"
        assert MODEL not in facts.tags

    def test_parameters_out_of_range_are_refused(self, model_step: Step, training: dict[str, Any]) -> None:
        training["parameters"]["epochs"] = 0
        result = model_step("train", **training)
        assert result.failure is not None
        assert "epochs" in result.failure.message

    def test_altered_tensors_are_refused(
        self, model_step: Step, training: dict[str, Any], artifacts: ArtifactStore, tmp_path: Path
    ) -> None:
        listing = artifacts.listing(msgspec.convert(training["tensors"], type(artifacts.put(b""))))
        digest = str(listing["train_x.npy"]["digest"]).removeprefix("sha256:")
        path = tmp_path / "artifacts" / "objects" / digest[:2] / digest[2:]
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
        result = model_step("train", **training)
        assert result.failure is not None
        assert result.failure.kind == "IntegrityError"
