"""Several workers of one step: each has a number of its own, and all find each other."""

import threading
from pathlib import Path
from typing import Any

import pytest

from airlock.errors import InfrastructureError, UserError
from airlock.settings import Settings
from airlock.steps.context import StepContext
from airlock.steps.contract import RunInfo, Spec
from airlock.steps.rendezvous import rendezvous
from airlock.steps.runner import run_spec
from airlock.steps.workers import Worker, this_worker
from airlock.stores.artifacts import ArtifactStore, open_artifacts

RUN = RunInfo(dag="d", run="r", task="t")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path), artifacts=(tmp_path / "artifacts").as_uri())


@pytest.fixture
def store(settings: Settings) -> ArtifactStore:
    return open_artifacts(settings.artifacts)


class TestTheNumber:
    def test_is_0_of_1_when_nobody_says_anything(self, store: ArtifactStore) -> None:
        assert this_worker(store, RUN, {}) == Worker(index=0, count=1)

    @pytest.mark.parametrize("name", ["AIRLOCK_WORKER", "JOB_COMPLETION_INDEX"])
    def test_is_the_one_that_is_told(self, store: ArtifactStore, name: str) -> None:
        assert this_worker(store, RUN, {"AIRLOCK_WORKERS": "3", name: "2"}).index == 2

    def test_is_claimed_by_pods_that_are_all_alike(self, store: ArtifactStore) -> None:
        told = {"AIRLOCK_WORKERS": "3", "AIRLOCK_WORKER_HOST": "10.0.0.1"}
        assert [this_worker(store, RUN, told).index for _ in range(3)] == [0, 1, 2]
        with pytest.raises(UserError, match="All 3 workers of d/r/t/1 are already there"):
            this_worker(store, RUN, told)

    def test_is_claimed_anew_when_all_start_again(self, store: ArtifactStore) -> None:
        again = RunInfo(dag="d", run="r", task="t", restart=1)
        assert [this_worker(store, run, {"AIRLOCK_WORKERS": "2"}).index for run in (RUN, again)] == [0, 0]


class TestTheMeeting:
    def met(self, settings: Settings, tmp_path: Path, count: int, present: int, timeout: float) -> list[Any]:
        found: list[Any] = [None] * present

        def come(index: int) -> None:
            context = StepContext(settings, RUN, tmp_path, Worker(index=index, count=count))
            try:
                found[index] = rendezvous(context, timeout=timeout)
            except InfrastructureError as error:
                found[index] = error

        threads = [threading.Thread(target=come, args=(index,)) for index in range(present)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        return found

    def test_gives_everybody_the_same_addresses(self, settings: Settings, tmp_path: Path) -> None:
        first, second = self.met(settings, tmp_path, count=2, present=2, timeout=20)
        assert (first.index, second.index) == (0, 1)
        assert first.addresses == second.addresses
        assert len(set(first.addresses)) == 2

    def test_ends_when_somebody_does_not_come(self, settings: Settings, tmp_path: Path) -> None:
        (error,) = self.met(settings, tmp_path, count=2, present=1, timeout=0.5)
        assert "Only 1 of 2 workers came" in str(error)

    def test_of_one_is_none(self, settings: Settings, tmp_path: Path) -> None:
        assert rendezvous(StepContext(settings, RUN, tmp_path)) is None


def test_only_the_first_workers_outputs_are_the_steps(settings: Settings, store: ArtifactStore) -> None:
    spec = Spec(step="nothing", inputs={"value": 7}, run=RUN, result="results/d/r/t/1.json")
    assert run_spec(spec, settings, Worker(index=1, count=2)).outputs == {}
    assert store.document(spec.result) is None
    assert run_spec(spec, settings, Worker(index=0, count=2)).outputs == {"value": 7}
    assert store.document(spec.result) is not None
