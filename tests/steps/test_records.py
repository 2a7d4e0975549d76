"""What runs leave behind, and what differs between two of them."""

from typing import Any

import pytest

from airlock.errors import UserError
from airlock.settings import Settings
from airlock.steps.cache import Key
from airlock.steps.comparison import aside, differences, facts_of_run
from airlock.steps.contract import Result, RunInfo, Spec
from airlock.steps.records import keep_record, read_run
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.layers import open_layers

INPUTS = {
    "code": {"ref": "artifact", "digest": "sha256:" + "a" * 64},
    "tensors": {"ref": "artifact", "digest": "sha256:" + "b" * 64},
    "parameters": {"epochs": 3, "learning_rate": 0.1},
}


@pytest.fixture
def store(tmp_path: Any) -> ArtifactStore:
    return open_layers(Settings(home=str(tmp_path), artifacts=(tmp_path / "artifacts").as_uri()))


def keep(
    store: ArtifactStore, run: str, attempt: int = 1, accuracy: float = 0.9, by: str = "train", **inputs: Any
) -> None:
    """Leave the record of a training.

    :param by: the step whose result it took.
    """
    given = INPUTS | inputs
    info = RunInfo(dag="digits_model", run=run, task="train", attempt=attempt)
    key = Key(step=by, source="sha256:" + "c" * 64, inputs=given, environment={"keras": "3.15"})
    spec = Spec(step="train", inputs=given, run=info, result=f"results/{info.path}.json")
    result = Result(step="train", status="succeeded", metrics={"accuracy": accuracy}, started=1, ended=2)
    keep_record(store, spec, key, result)


class TestARun:
    def test_is_read_back_with_its_last_try(self, store: ArtifactStore) -> None:
        keep(store, "manual__2026-11-21T20:00:00+00:00", attempt=1, accuracy=0.1)
        keep(store, "manual__2026-11-21T20:00:00+00:00", attempt=2)
        found = read_run(store, "digits_model", "manual__2026-11-21T20:00:00+00:00")
        assert set(found) == {"train"}
        assert found["train"].result.metrics == {"accuracy": 0.9}

    def test_that_never_was_is_refused(self, store: ArtifactStore) -> None:
        with pytest.raises(UserError, match=r"no record of a run 'other'.*DAG/RUN"):
            read_run(store, "digits_model", "other")


class TestTwoRuns:
    def test_that_are_the_same_do_not_differ(self, store: ArtifactStore) -> None:
        keep(store, "a")
        keep(store, "b")
        before, after = (facts_of_run(read_run(store, "digits_model", run)) for run in "ab")
        assert differences(before, after) == []

    def test_differ_in_what_was_changed_by_section(self, store: ArtifactStore) -> None:
        other = {"ref": "artifact", "digest": "sha256:" + "d" * 64}
        keep(store, "a")
        keep(store, "b", accuracy=0.95, parameters={"epochs": 5, "learning_rate": 0.1, "dropout": 0.2}, code=other)
        before, after = (facts_of_run(read_run(store, "digits_model", run)) for run in "ab")
        found = {(each.section, each.name): (each.before, each.after) for each in differences(before, after)}
        assert found == {
            ("parameters", "train: parameters.epochs"): ("3", "5"),
            ("parameters", "train: parameters.dropout"): ("", "0.2"),
            ("code", "train: code"): ("a" * 12, "d" * 12),
            ("metrics", "train: accuracy"): ("0.9", "0.95"),
        }

    def test_are_not_compared_by_a_task_that_did_nothing_in_one_of_them(self, store: ArtifactStore) -> None:
        keep(store, "a")
        keep(store, "b", accuracy=0.1, by="conclude_search")
        runs = [read_run(store, "digits_model", run) for run in "ab"]
        idle = aside(*runs)
        assert idle == {"train"}
        assert differences(*(facts_of_run(run, idle) for run in runs)) == []
