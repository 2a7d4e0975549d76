"""Workers and conclusion of a search on real digits, PostgreSQL and MLflow."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from airlock.governance.searches import SearchSummary
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.model.registry import Registry
from airlock.model.search.bench import checkpoints_of
from airlock.model.search.study import Studies
from airlock.model.tensors import Split
from airlock.progress import parse
from airlock.references import TrackingRun
from airlock.settings import Settings
from airlock.steps.contract import Result
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.database import open_database
from tests.model.conftest import builtins, store_tensors
from tests.model.search.conftest import Relay, worker_spec

pytestmark = pytest.mark.integration
Step = Callable[..., Result]


def summary_of(artifacts: ArtifactStore, result: Result) -> SearchSummary:
    assert result.status == "succeeded", result.failure
    document = artifacts.read(result.outputs["trials"]["digest"])
    return msgspec.json.decode(document, type=SearchSummary)


def logged_epochs(server: str, run_id: str) -> list[int]:
    reply = httpx.get(
        f"{server}/api/2.0/mlflow/metrics/get-history", params={"run_id": run_id, "metric_key": "val_loss"}
    )
    return [int(point["step"]) for point in reply.json()["metrics"]]


def trials_of(settings: Settings) -> list[Any]:
    studies = Studies(open_database(settings.database))
    (name,) = studies.names()
    return studies.open(name).get_trials()


def run_named(run_id: str) -> TrackingRun:
    return TrackingRun(run_id=run_id, experiment="search")


class TestASearchThatSucceeds:
    def test_leaves_the_best_parameters_a_report_and_a_run_for_every_trial(
        self, work: Step, conclude: Step, inputs: dict[str, Any], artifacts: ArtifactStore, registry: Registry
    ) -> None:
        worked = work(inputs)
        assert worked.status == "succeeded", worked.failure
        assert worked.outputs["ended"] == 4
        concluded = conclude(inputs)
        summary = summary_of(artifacts, concluded)
        assert summary.counts == {"complete": 4, "pruned": 0, "failed": 0}
        best = min(summary.trials, key=lambda trial: trial.value or 9)
        assert (summary.best, summary.value) == (best.number, best.value)
        assert concluded.outputs["value"] == best.value
        assert concluded.outputs["parameters"] == {**inputs["parameters"], **best.parameters}
        assert [len(trial.curve) for trial in summary.trials] == [3, 3, 3, 3]
        assert len({trial.parameters["learning_rate"] for trial in summary.trials}) == 4

        page = artifacts.read(concluded.outputs["report"]["digest"]).decode()
        assert page.count("data:image/png") >= 3
        parent = registry.run_facts(run_named(summary.run_id))
        assert parent.status == "FINISHED"
        for trial in summary.trials:
            facts = registry.run_facts(run_named(trial.run_id))
            assert facts.status == "FINISHED"
            assert facts.tags["mlflow.parentRunId"] == summary.run_id
            assert float(facts.parameters["learning_rate"]) == trial.parameters["learning_rate"]


class TestASearchOverNetworksAndDatasets:
    def test_hands_over_the_best_trials_network_and_tensors(
        self,
        work: Step,
        conclude: Step,
        inputs: dict[str, Any],
        artifacts: ArtifactStore,
        few_digits: dict[str, Split],
        tmp_path: Path,
    ) -> None:
        fewer = few_digits | {"train": Split(*(part[:40] for part in few_digits["train"]))}
        inputs["parameters"]["epochs"] = 2
        inputs["tensors"] = {
            "all": inputs["tensors"]["only"],
            "fewer": builtins(store_tensors(artifacts, tmp_path / "fewer", fewer)),
        }
        inputs["code"]["broken.py"] = builtins(artifacts.put(b"def build(*arguments): raise ValueError('broken')"))
        vary = {"network": ["network.py", "broken.py"], "data": ["all", "fewer"]}
        inputs["space"] |= {"sampler": "grid", "vary": vary}
        assert work(inputs).outputs["ended"] == 4
        concluded = conclude(inputs)
        summary = summary_of(artifacts, concluded)
        assert summary.counts == {"complete": 2, "pruned": 0, "failed": 2}
        best = next(trial for trial in summary.trials if trial.number == summary.best)
        assert concluded.outputs["code"] == inputs["code"]["network.py"]
        assert concluded.outputs["tensors"] == inputs["tensors"][best.parameters["data"]]
        assert concluded.outputs["parameters"] == inputs["parameters"], "a choice of files is no parameter"


class TestTrialsThatFail:
    def test_end_with_class_and_reason_and_the_search_goes_on(
        self, work: Step, conclude: Step, inputs: dict[str, Any], artifacts: ArtifactStore, registry: Registry
    ) -> None:
        inputs["space"] |= {"sampler": "grid", "vary": {"learning_rate": [0.005, 1e38], "fail": [False, True]}}
        assert work(inputs).outputs["ended"] == 4
        summary = summary_of(artifacts, conclude(inputs))
        assert summary.counts == {"complete": 1, "pruned": 0, "failed": 3}
        failed = {
            (trial.parameters["fail"], trial.parameters["learning_rate"]): trial
            for trial in summary.trials
            if trial.state == "failed"
        }
        diverged = failed[False, 1e38]
        assert diverged.category == "user"
        assert "diverged in epoch 1" in diverged.reason
        assert "asked to fail" in failed[True, 0.005].reason
        facts = registry.run_facts(run_named(diverged.run_id))
        assert facts.status == "FAILED"
        assert "diverged" in facts.tags["airlock.failed"]

    def test_all_of_them_fail_the_search_with_the_most_frequent_reason(
        self, work: Step, conclude: Step, inputs: dict[str, Any], artifacts: ArtifactStore
    ) -> None:
        inputs["space"]["vary"] = {"fail": [True], "units": [8, 16]}
        assert work(inputs).status == "succeeded", "a worker did what it could"
        result = conclude(inputs)
        assert result.failure is not None
        assert result.failure.category == "user"
        assert "0 of 4 trials were stopped early, 4 failed" in result.failure.message
        assert "Most frequent (4 times): build failed: ValueError: asked to fail" in result.failure.message
        assert b"asked to fail" in artifacts.read(result.links["Report"]), "the report is there all the same"

    def test_all_of_them_stopped_early_fail_the_search_with_what_to_loosen(
        self, work: Step, conclude: Step, inputs: dict[str, Any], registry: Registry, search_settings: Settings
    ) -> None:
        inputs["space"] |= {"trials": 2, "keep": ["val_accuracy above 0.999 at 1"]}
        assert work(inputs).outputs["ended"] == 2
        result = conclude(inputs)
        assert result.failure is not None
        assert "2 of 2 trials were stopped early" in result.failure.message
        assert "Loosen keep" in result.failure.hint
        for trial in trials_of(search_settings):
            facts = registry.run_facts(run_named(trial.user_attrs["mlflow_run"]))
            assert facts.status == "FINISHED", "a trial that was stopped did not fail"
            assert facts.tags["airlock.pruned"].startswith("keep val_accuracy above 0.999 at 1")


class TestAWorkerThatIsKilled:
    EPOCHS = 8

    def test_goes_on_with_its_trial_and_nothing_stays_running(
        self,
        work: Step,
        conclude: Step,
        inputs: dict[str, Any],
        artifacts: ArtifactStore,
        registry: Registry,
        mlflow_server: str,
        search_settings: Settings,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        inputs["parameters"]["epochs"] = self.EPOCHS
        inputs["space"]["trials"] = 1
        self.kill_in_its_fifth_epoch(inputs, artifacts, search_settings)
        (before,) = trials_of(search_settings)
        assert before.state.name == "RUNNING", "nobody had a chance to say otherwise"

        result = work(inputs, attempt=2)
        assert result.status == "succeeded", result.failure
        epochs = [found.metrics["epoch"] for line in capsys.readouterr().out.splitlines() if (found := parse(line))]
        assert 4 <= epochs[0] <= 6, "it goes on after its last checkpoint, not at the beginning"
        assert epochs[-1] == self.EPOCHS
        (trial,) = summary_of(artifacts, conclude(inputs)).trials
        assert (trial.state, trial.preemptions) == ("complete", 1)
        assert trial.parameters == before.params
        assert [epoch for epoch, _ in trial.curve] == list(range(1, self.EPOCHS + 1))
        assert before.intermediate_values.items() <= dict(trial.curve).items()
        assert logged_epochs(mlflow_server, trial.run_id) == list(range(1, self.EPOCHS + 1)), "one run, no gap"
        assert registry.run_facts(run_named(trial.run_id)).status == "FINISHED"

    def test_and_never_tried_again_leaves_a_failed_trial_to_the_conclusion(
        self,
        work: Step,
        conclude: Step,
        inputs: dict[str, Any],
        artifacts: ArtifactStore,
        registry: Registry,
        search_settings: Settings,
    ) -> None:
        inputs["parameters"]["epochs"] = self.EPOCHS
        inputs["space"]["trials"] = 2
        self.kill_in_its_fifth_epoch(inputs, artifacts, search_settings)
        assert work(inputs, task="search.worker_2").outputs["ended"] == 1
        left, done = summary_of(artifacts, conclude(inputs)).trials
        assert (left.state, left.category, done.state) == ("failed", "infrastructure", "complete")
        assert "test/run/search.worker_1 went away" in left.reason
        assert registry.run_facts(run_named(left.run_id)).status == "FAILED"

    def kill_in_its_fifth_epoch(self, inputs: dict[str, Any], artifacts: ArtifactStore, settings: Settings) -> None:
        artifacts.replace_document("specs/killed.json", msgspec.json.encode(worker_spec(inputs)))
        command = [sys.executable, "-m", "airlock.steps", "search_trials", "--spec", "specs/killed.json"]
        environment = os.environ | settings.environment()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if (found := parse(line.strip())) and found.metrics["epoch"] == 5:
                    process.send_signal(signal.SIGKILL)
                    break
        assert process.returncode == -signal.SIGKILL


class TestAServiceThatGoesAway:
    @pytest.fixture
    def one_trial(self, inputs: dict[str, Any]) -> dict[str, Any]:
        inputs["space"]["trials"] = 1
        return inputs

    @pytest.mark.parametrize("checkpoint", ["whole", "damaged"])
    def test_mlflow_in_the_middle_puts_the_trial_back(
        self,
        work: Step,
        one_trial: dict[str, Any],
        relay: Relay,
        after_epoch: Callable[..., None],
        search_settings: Settings,
        artifacts: ArtifactStore,
        mlflow_server: str,
        checkpoint: str,
    ) -> None:
        after_epoch(2, relay.cut)
        result = work(one_trial, settings=msgspec.structs.replace(search_settings, tracking=relay.url))
        assert result.failure is not None
        assert result.failure.category == "infrastructure"
        (trial,) = trials_of(search_settings)
        assert trial.state.name == "WAITING", "another worker may take it at once"
        assert trial.user_attrs["preemptions"] == 1
        if checkpoint == "damaged":
            (name,) = Studies(open_database(search_settings.database)).names()
            artifacts.replace_document(checkpoints_of(artifacts, name, 0)._name, b"not a checkpoint")
        assert work(one_trial, task="search.worker_2").outputs["ended"] == 1
        (trial,) = trials_of(search_settings)
        assert (trial.state.name, sorted(trial.intermediate_values)) == ("COMPLETE", [1, 2, 3])
        assert logged_epochs(mlflow_server, trial.user_attrs["mlflow_run"]) == [1, 2, 3]

    def test_mlflow_at_the_start_is_infrastructure(
        self, work: Step, one_trial: dict[str, Any], search_settings: Settings
    ) -> None:
        result = work(one_trial, settings=msgspec.structs.replace(search_settings, tracking="http://127.0.0.1:9"))
        assert result.failure is not None
        assert result.failure.category == "infrastructure"
        assert trials_of(search_settings) == [], "no trial was begun"

    def test_postgresql_in_the_middle_leaves_the_trial_to_the_next_try(
        self,
        work: Step,
        one_trial: dict[str, Any],
        postgres: EmbeddedPostgres,
        after_epoch: Callable[..., None],
        search_settings: Settings,
    ) -> None:
        after_epoch(2, postgres.stop)
        try:
            result = work(one_trial)
        finally:
            postgres.start()
        assert result.failure is not None
        assert result.failure.category == "infrastructure"
        assert "does not answer" in result.failure.message
        again = work(one_trial, attempt=2)
        assert again.status == "succeeded", again.failure
        (trial,) = trials_of(search_settings)
        assert (trial.state.name, trial.user_attrs["preemptions"]) == ("COMPLETE", 1)
        assert sorted(trial.intermediate_values) == [1, 2, 3]

    def test_postgresql_at_the_start_is_infrastructure(
        self, work: Step, one_trial: dict[str, Any], search_settings: Settings
    ) -> None:
        away = msgspec.structs.replace(search_settings, database="postgresql://nobody@127.0.0.1:9/none")
        result = work(one_trial, settings=away)
        assert result.failure is not None
        assert result.failure.category == "infrastructure"


class TestASearchThatNeverBegan:
    def test_is_named_by_the_conclusion(self, conclude: Step, inputs: dict[str, Any]) -> None:
        result = conclude(inputs)
        assert result.failure is not None
        assert "no worker got as far as its first trial" in result.failure.message

    def test_with_a_bad_space_is_refused_by_the_worker_too(self, work: Step, inputs: dict[str, Any]) -> None:
        inputs["space"]["vary"] = {}
        result = work(inputs)
        assert result.failure is not None
        assert result.failure.category == "user"
        assert "vary is empty" in result.failure.message
