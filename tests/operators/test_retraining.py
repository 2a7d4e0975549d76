"""Retraining by the clock: on what it works, and how it ends when it made nothing better."""

from typing import Any

import msgspec
import pytest
from airflow.sdk import Asset, CronTriggerTimetable
from airflow.sdk.definitions.timetables.assets import AssetOrTimeSchedule
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airlock.errors import UserError
from airlock.governance.evaluations import Champion, ClassFigures, Evaluation, Measurement
from airlock.governance.history import History
from airlock.governance.manifest import CandidateManifest, load, put
from airlock.operators.promotion import claim
from airlock.operators.retraining import challenge, retraining
from airlock.references import DatasetVersion, LabelSet, ModelVersion, TrackingRun
from tests.governed import Governed
from tests.operators.conftest import FakeSupervisor, context
from tests.operators.test_evaluation import serve

DATA = DatasetVersion(name="digits", version=1, digest="sha256:d", rows=10)
FIGURES = {"accuracy": 0.9, "macro_f1": 0.9, "log_loss": 0.3}


def evaluation(accuracy: float, champion: dict[str, float] | None) -> Evaluation:
    measured = Measurement(
        model="sha256:old", dataset=DATA, split="test", slice="all", rule="", count=100, figures=champion or {}
    )
    figures = ClassFigures(precision=accuracy, recall=accuracy, f1=accuracy, support=100)
    return Evaluation(
        model="sha256:new",
        tensors="sha256:t",
        split="test",
        count=100,
        accuracy=accuracy,
        per_class={"zero": figures},
        confusion=[[100]],
        figures={"log_loss": 1 - accuracy},
        champion=Champion(manifest="sha256:champion", model="sha256:old", measured=measured) if champion else None,
    )


def candidate(governed: Governed, accuracy: float, champion: dict[str, float] | None) -> dict[str, Any]:
    """Store a candidate as the register step does."""
    some = governed.artifacts.put(b"something")
    told = governed.artifacts.put(msgspec.json.encode(evaluation(accuracy, champion)))
    manifest = CandidateManifest(
        use_case="digits",
        classes=["zero"],
        data=governed.manifest().digest,
        dataset=DATA,
        labels=LabelSet(digest="sha256:l", dataset="sha256:d", rows=10),
        tensors=some,
        model=some,
        evaluation=told,
        picture=some,
        run=TrackingRun(run_id="1", experiment="digits"),
        version=ModelVersion(name="digits", version="1"),
        transform_code=some,
        network_code=some,
        parameters={},
        seed=7,
        metrics={"accuracy": accuracy},
        code={},
        environment={},
    )
    plain: dict[str, Any] = msgspec.to_builtins(put(governed.artifacts, manifest))
    return plain


def told(run_type: str = "scheduled") -> dict[str, Any]:
    made = context("challenge")
    made["dag_run"].run_type = run_type
    return made


class TestACandidateThatNobodyAskedFor:
    @pytest.mark.parametrize("accuracy", [0.85, 0.9], ids=["worse", "as good"])
    def test_and_that_is_no_better_ends_as_a_kept_champion(self, governed: Governed, accuracy: float) -> None:
        manifest = candidate(governed, accuracy, FIGURES)
        asked = told()
        with pytest.raises(AirflowSkipException, match="Kept the champion: accuracy"):
            challenge(use_case="digits", manifest=manifest).execute(asked)
        (kept,) = governed.recorded("kept")
        assert kept["manifest"] == manifest["digest"]
        assert kept["champion"] == "sha256:champion"
        assert (kept["candidate"], kept["before"]) == (accuracy, 0.9)
        assert asked["ti"].xcoms["summary"]["headline"].startswith("Kept the champion")

    def test_is_recorded_once_however_often_the_task_runs(self, governed: Governed) -> None:
        manifest = candidate(governed, 0.5, FIGURES)
        for _ in range(3):
            with pytest.raises(AirflowSkipException):
                challenge(use_case="digits", manifest=manifest).execute(told())
        assert len(governed.recorded("kept")) == 1

    def test_stands_in_the_story_of_its_manifest(self, governed: Governed) -> None:
        manifest = candidate(governed, 0.5, FIGURES)
        with pytest.raises(AirflowSkipException):
            challenge(use_case="digits", manifest=manifest).execute(told())
        history = History.open(governed.ledger, governed.keys)
        assert [record.kind for record in history.acts] == ["kept"]
        assert history.manifest(manifest["digest"][7:15]) == manifest["digest"]

    @pytest.mark.parametrize(
        ("arguments", "accuracy"), [({}, 0.91), ({"metric": "log_loss"}, 0.8), ({"margin": 0.02}, 0.93)]
    )
    def test_and_that_is_better_goes_on(self, governed: Governed, arguments: dict[str, Any], accuracy: float) -> None:
        manifest = candidate(governed, accuracy, FIGURES)
        assert challenge(use_case="digits", manifest=manifest, **arguments).execute(told()) == {"manifest": manifest}
        assert governed.recorded("kept") == []

    def test_must_be_better_by_the_margin(self, governed: Governed) -> None:
        manifest = candidate(governed, 0.91, FIGURES)
        with pytest.raises(AirflowSkipException):
            challenge(use_case="digits", manifest=manifest, margin=0.02).execute(told())

    def test_goes_on_where_there_is_no_champion(self, governed: Governed) -> None:
        manifest = candidate(governed, 0.1, None)
        assert challenge(use_case="digits", manifest=manifest).execute(told()) == {"manifest": manifest}

    def test_and_that_is_the_champions_own_model_made_again_ends_so_too(self, governed: Governed) -> None:
        manifest = candidate(governed, 0.95, None)
        served = serve(governed, load(governed.artifacts, manifest["digest"], CandidateManifest))
        with pytest.raises(AirflowSkipException, match=r"Kept the champion: accuracy 0\.9500 against 0\.9500"):
            challenge(use_case="digits", manifest=manifest).execute(told())
        assert [kept["champion"] for kept in governed.recorded("kept")] == [served]

    def test_is_not_compared_by_a_figure_that_one_of_them_lacks(self, governed: Governed) -> None:
        manifest = candidate(governed, 0.95, FIGURES)
        with pytest.raises(AirflowFailException, match=r"no figure 'brier' of both models\. Figures: accuracy"):
            challenge(use_case="digits", manifest=manifest, metric="brier").execute(told())


@pytest.mark.parametrize("run_type", ["manual", "asset_triggered", "backfill"])
def test_a_candidate_that_somebody_or_new_data_asked_for_goes_to_people(governed: Governed, run_type: str) -> None:
    manifest = candidate(governed, 0.1, FIGURES)
    assert challenge(use_case="digits", manifest=manifest).execute(told(run_type)) == {"manifest": manifest}
    assert governed.recorded("kept") == []


class TestARunByTheClock:
    def claiming(self, run_type: str) -> Any:
        return claim(use_case="digits", gate="data", queue="digits/model").execute(told(run_type))

    def test_works_on_what_was_approved_last_when_nothing_waits(
        self, governed: Governed, supervisor: FakeSupervisor
    ) -> None:
        older, newer = governed.manifest(), governed.manifest()
        governed.approve(older)
        governed.approve(newer)
        assert self.claiming("scheduled")["manifest"]["digest"] == newer.digest

    def test_skips_when_nothing_was_ever_approved(self, governed: Governed, supervisor: FakeSupervisor) -> None:
        with pytest.raises(AirflowSkipException, match="Nothing waits"):
            self.claiming("scheduled")

    def test_any_other_run_skips_when_nothing_waits(self, governed: Governed, supervisor: FakeSupervisor) -> None:
        governed.approve(governed.manifest())
        with pytest.raises(AirflowSkipException, match="Nothing waits"):
            self.claiming("asset_triggered")


class TestWhenItHappens:
    def test_by_the_clock_on_new_data_or_both(self) -> None:
        data = Asset("digits/approved-data")
        assert isinstance(retraining("0 3 * * 0"), CronTriggerTimetable)
        assert retraining(on=[data]) == [data]
        assert isinstance(retraining("0 3 * * 0", on=[data]), AssetOrTimeSchedule)

    def test_never_is_no_schedule(self) -> None:
        with pytest.raises(UserError, match="never happens"):
            retraining()
