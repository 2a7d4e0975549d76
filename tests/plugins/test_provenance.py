"""Four eyes: who submitted and trained is found through assets, queues and reworks, whatever Airflow hands down."""

import pytest

from airlock.governance.manifest import CandidateManifest, DataManifest, load, put
from airlock.governance.policy import GatePolicy, Part, Stage
from airlock.operators.trigger import rework_run
from airlock.plugins import provenance
from airlock.plugins.provenance import barred, people_of
from airlock.references import Artifact, ModelVersion, TrackingRun
from airlock.stores.gates import GateRequest
from tests.governed import Governed

POLICY = GatePolicy(stages=[Stage(roles=["model_validator"])], exclude=["submitter", "trainer"])


class Runs:
    """Airflow's runs: who is named with them, and whether a task started them."""

    def __init__(self, governed: Governed) -> None:
        self.governed = governed
        self.known: dict[tuple[str, str], tuple[str, bool]] = {}

    def started(self, dag: str, run: str) -> tuple[str, bool]:
        return self.known.get((dag, run), ("", False))

    def data(self, manifest: Artifact, run: str, by: str, *, by_task: bool = False) -> GateRequest:
        self.known["digits_data", run] = by, by_task
        return self.governed.file(POLICY, manifest, run=run)

    def model(self, manifest: Artifact, run: str, by: str, *, by_task: bool = False) -> GateRequest:
        self.known["digits_model", run] = by, by_task
        return self.governed.file(
            POLICY, manifest, dag="digits_model", run=run, gate="model", task="model_gate", evidence="sha256:e"
        )

    def people(self, request: GateRequest) -> dict[Part, list[str]]:
        return people_of(self.governed.book(), request)


@pytest.fixture
def runs(governed: Governed, monkeypatch: pytest.MonkeyPatch) -> Runs:
    made = Runs(governed)
    monkeypatch.setattr(provenance, "_started", made.started)
    return made


@pytest.fixture
def data(governed: Governed) -> Artifact:
    return governed.manifest()


@pytest.fixture
def candidate(governed: Governed, data: Artifact) -> Artifact:
    return candidate_of(governed, data)


def candidate_of(governed: Governed, data: Artifact) -> Artifact:
    some = governed.artifacts.put(b"something")
    parent = load(governed.artifacts, data.digest, DataManifest)
    manifest = CandidateManifest(
        use_case="digits",
        classes=parent.classes,
        data=data.digest,
        dataset=parent.dataset,
        labels=parent.labels,
        tensors=some,
        model=some,
        evaluation=some,
        picture=some,
        run=TrackingRun(run_id="r", experiment="digits"),
        version=ModelVersion(name="digits", version="1"),
        transform_code=some,
        network_code=some,
        parameters={},
        seed=7,
        metrics={},
        code={},
        environment={},
    )
    return put(governed.artifacts, manifest)


class TestSubmitter:
    def test_is_whoever_started_the_run(self, runs: Runs, data: Artifact) -> None:
        assert runs.people(runs.data(data, "one", "dana"))["submitter"] == ["dana"]

    def test_is_found_behind_a_run_that_an_asset_started(self, runs: Runs, data: Artifact, candidate: Artifact) -> None:
        runs.data(data, "one", "dana")
        request = runs.model(candidate, "asset", "")
        assert runs.people(request) == {"submitter": ["dana"], "trainer": ["dana"], "labeler": []}

    def test_is_not_whoever_started_the_run_that_started_one_for_the_queue(
        self, runs: Runs, data: Artifact, candidate: Artifact
    ) -> None:
        """Airflow hands a run's name down to the runs that its tasks start."""
        runs.data(data, "one", "dana")
        request = runs.model(candidate, "queue__2__abc", "otto", by_task=True)
        assert runs.people(request)["submitter"] == ["dana"]

    def test_is_whoever_started_it_by_hand_under_a_queues_name(
        self, runs: Runs, data: Artifact, candidate: Artifact
    ) -> None:
        runs.data(data, "one", "dana")
        request = runs.model(candidate, "queue__2__abc", "otto")
        assert runs.people(request)["submitter"] == ["otto"]

    def test_of_a_rework_is_who_submitted_what_was_rejected(
        self, runs: Runs, governed: Governed, data: Artifact, candidate: Artifact
    ) -> None:
        runs.data(data, "one", "dana")
        rejected = runs.model(candidate, "asset", "")
        again = runs.data(governed.manifest(), rework_run(rejected.id), "", by_task=True)
        assert runs.people(again)["submitter"] == ["dana"], "or dana could approve her own data after a rework"

    def test_of_a_rework_of_a_rework_too(self, runs: Runs, governed: Governed, data: Artifact) -> None:
        first = runs.data(data, "one", "dana")
        second = runs.data(governed.manifest(), rework_run(first.id), "vera", by_task=True)
        third = runs.data(governed.manifest(), rework_run(second.id), "vera", by_task=True)
        assert runs.people(third)["submitter"] == ["dana"]

    def test_is_everybody_who_submitted_exactly_this(self, runs: Runs, data: Artifact) -> None:
        runs.data(data, "one", "dana")
        assert runs.people(runs.data(data, "two", "sami"))["submitter"] == ["dana", "sami"]

    def test_is_nobody_where_nobody_is_known(self, runs: Runs, data: Artifact) -> None:
        assert runs.people(runs.data(data, "scheduled", "")) == {"submitter": [], "trainer": [], "labeler": []}


class TestTrainer:
    def test_is_whoever_started_the_training(self, runs: Runs, data: Artifact, candidate: Artifact) -> None:
        runs.data(data, "one", "dana")
        request = runs.model(candidate, "mine", "sami")
        assert runs.people(request)["trainer"] == ["sami"]
        assert runs.people(request)["submitter"] == ["sami"]

    def test_does_not_change_when_somebody_else_asks_about_the_same_candidate(
        self, runs: Runs, data: Artifact, candidate: Artifact
    ) -> None:
        runs.model(candidate, "mine", "sami")
        assert runs.people(runs.model(candidate, "again", "otto"))["trainer"] == ["otto", "sami"]

    def test_there_is_none_of_data(self, runs: Runs, data: Artifact) -> None:
        assert runs.people(runs.data(data, "one", "dana"))["trainer"] == []


@pytest.mark.parametrize(
    ("exclude", "names"), [([], []), (["submitter"], ["dana"]), (["trainer"], []), (["trainer", "submitter"], ["dana"])]
)
def test_only_the_parts_that_the_policy_names_are_barred(
    runs: Runs, governed: Governed, data: Artifact, exclude: list[Part], names: list[str]
) -> None:
    request = runs.data(data, "one", "dana")
    policy = GatePolicy(stages=POLICY.stages, exclude=exclude)
    assert barred(governed.book(), request, policy) == names
