"""What must hold when a run that was disturbed has ended."""

import json
import re
import time
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlflow
import psutil

from airlock.launcher.layout import Layout
from airlock.model import names
from airlock.model.search.study import Studies
from airlock.stores.database import open_database
from tests.integration.conftest import Stack

DAG, EXPERIMENT, EPOCHS, TRIALS = "trained", "trained", 120, 2
INTERVAL = 2.0  # seconds between the training's checkpoints
SLACK = 2.0  # what a checkpoint takes to be written, and a line to be shown
EPOCH = re.compile(rf"(\d+)/{EPOCHS} epoch")
MEMORY = "memory used up"
SERVICES = {"mlflow killed", "postgres restarted"}


class Run:
    """A run of the DAG, and what was done to it."""

    def __init__(self, name: str, hog: Path) -> None:
        self.name = name
        self.hog = hog
        self.hits: list[str] = []

    def __repr__(self) -> str:
        return f"{self.name} after {self.hits}"

    @property
    def may_fail_as(self) -> set[str]:
        """Classes of error that what happened can end in."""
        found = {"resource"} if MEMORY in self.hits else set()
        return found | {"infrastructure"} if SERVICES & set(self.hits) else found


class Aftermath:
    """Looks at everything that a run could have left."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.logs = Layout(stack.home).airflow / "logs"
        self.mlflow = mlflow.MlflowClient(stack.settings.tracking)

    def judge(self, run: Run, state: str, tasks: list[dict[str, Any]], left: list[psutil.Process]) -> None:
        """A run ends right or fails with the right class; nothing of it is left, and little was done twice."""
        assert not left, f"{run} left {left}"
        states = {task["task_id"]: task["state"] for task in tasks}
        if state != "success":
            self._judge_failures(run, [task for task in tasks if task["state"] == "failed"])
        self._judge_tracking(run, states["train"] == "success")
        self._judge_trials(run, states["search.conclude"] == "success")
        lost = max(self.lost_work(run), default=0.0)
        assert lost <= INTERVAL + SLACK, f"{run}: {lost:.1f} s of work were lost"

    def _judge_failures(self, run: Run, failed: list[dict[str, Any]]) -> None:
        assert failed, f"{run} failed, and no task says why"
        for task in failed:
            summary = self.stack.person("Admin").xcom(DAG, run.name, task["task_id"], "summary")
            line = summary["headline"] if summary else "nothing"
            assert any(f"({kind})" in line for kind in run.may_fail_as), f"{run}: {task['task_id']} says {line}"

    def _judge_tracking(self, run: Run, trained: bool) -> None:
        """One MLflow run of the training with a true status and a whole curve, models of finished ones only."""
        experiment = self.mlflow.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            assert not trained, run
            return
        end = time.monotonic() + 30  # Airflow's callbacks follow a task's end
        while running := self.mlflow.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'"):
            assert time.monotonic() < end, f"{run}: {[each.data.tags for each in running]} run on in MLflow"
            time.sleep(0.5)
        found = self.mlflow.search_runs([experiment.experiment_id], max_results=5000)
        own = [each for each in found if each.data.tags.get(names.TASK) == f"{DAG}/{run.name}/train"]
        assert len(own) <= 1, run
        if trained:
            assert own[0].info.status == "FINISHED", run
            steps = [metric.step for metric in self.mlflow.get_metric_history(own[0].info.run_id, "loss")]
            assert steps == list(range(1, EPOCHS + 1)), f"{run}: {steps}"
        finished = {each.info.run_id for each in found if each.info.status == "FINISHED"}
        models = self.mlflow.search_logged_models([experiment.experiment_id])
        assert {model.source_run_id for model in models} <= finished, f"{run}: a model of a run that did not finish"

    def _judge_trials(self, run: Run, concluded: bool) -> None:
        """No trial runs on, and a search that was concluded has tried what it was asked to."""
        storage = Studies(open_database(self.stack.settings.database)).storage
        for study in storage.get_all_studies():
            states = [trial.state.name for trial in storage.get_all_trials(study._study_id, deepcopy=False)]
            assert "RUNNING" not in states, f"{run}: {study.study_name} {states}"
            if concluded and run.name in study.study_name:
                assert states.count("COMPLETE") == TRIALS, f"{run}: {states}"

    def lost_work(self, run: Run) -> Iterable[float]:
        """Seconds of training that were done again, for every time that it went back."""
        folder = self.logs / f"dag_id={DAG}" / f"run_id={run.name}" / "task_id=train"
        shown = sorted(line for path in folder.glob("attempt=*.log") for line in epochs(path))
        reached = {0: shown[0][0] if shown else 0.0}
        for (when, epoch), (_, following) in pairwise(shown):
            reached.setdefault(epoch, when)
            if following <= epoch:
                yield when - reached[max(known for known in reached if known < following)]


def epochs(path: Path) -> Iterable[tuple[float, int]]:
    """When a task's log showed which epoch."""
    for line in path.read_text().splitlines():
        if not line.startswith("{"):
            continue
        entry = json.loads(line)
        if said := EPOCH.search(str(entry.get("event", ""))):
            yield datetime.fromisoformat(entry["timestamp"]).timestamp(), int(said[1])
