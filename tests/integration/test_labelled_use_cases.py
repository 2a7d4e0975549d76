"""Articles through the whole data pipeline, and pictures from source to endpoint, labelled by people.

Real Airflow, PostgreSQL, Label Studio; on disk, and on S3. The DAG files are the same for both; only where the stores
are differs. Two people answer over Label Studio's public API, one of them sometimes wrong; disputes are settled.
"""

import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import boto3
import httpx
import msgspec
import pytest
from rich.console import Console

from airlock.demo.serving import ask_served, ledger_holds
from airlock.governance.evaluations import Evaluation
from airlock.governance.manifest import CandidateManifest, DataManifest, ReleaseManifest, chain, load
from airlock.launcher.stack import down, up
from airlock.stores.database import open_database
from airlock.stores.datasets import open_datasets
from airlock.stores.labels import LabelStore
from airlock.stores.layers import open_layers
from airlock.stores.ledger import Ledger
from tests.integration.conftest import Stack, free_ports
from tests.integration.labelling import WRONG, LabelledJourney, people_of, prepare_studio
from tests.services import environment, radosgw
from tests.services.label_studio import TOKEN, label_studio_data

__all__ = ["label_studio_data"]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

ARCHIVE = "bbc-fulltext.zip"
ARTICLES, DIFFERENT = 1781, 1722
S3 = {name: f"s3://airlock/{name}" for name in ("artifacts", "datasets", "sealed")}


# Where S3 can be had it stands for both in `make test`, and `make soak` runs the other too: minutes each.
@pytest.fixture(
    scope="module", params=[pytest.param("disk", marks=[] if radosgw.missing() else [pytest.mark.soak]), "s3"]
)
def place(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Where the stores are, as settings."""
    if request.param == "disk":
        yield {}
        return
    if reason := radosgw.missing():
        pytest.skip(reason)
    with radosgw.running() as server, environment(server.environment):
        boto3.client("s3").create_bucket(Bucket="airlock")
        yield S3


@pytest.fixture(scope="module")
def news(place: dict[str, str], label_studio_data: Path, test_data: Path) -> Iterator[LabelledJourney]:
    """The articles, taken to an approved model once; of the two people who label neither accepts the labels later."""
    console = Console(force_terminal=False)
    with (
        tempfile.TemporaryDirectory(prefix="airlock-stack-", ignore_cleanup_errors=True) as folder,
        ExitStack() as stays,
    ):
        home = Path(folder)
        (home / "settings.json").write_bytes(msgspec.json.encode(place))
        prepare_studio(home, label_studio_data)
        stays.callback(down, home, console=console)
        up(home, port_base=free_ports(), console=console, labelling=True)
        stack = Stack(home)
        journey = LabelledJourney(stack, "news", people_of(stack))
        journey.reads(test_data / ARCHIVE)
        journey.through("news", ("data", "model"))
        yield journey


class TestCollecting:
    def test_every_article_is_accounted_for(self, news: LabelledJourney, test_data: Path) -> None:
        with zipfile.ZipFile(test_data / ARCHIVE) as archive:
            names = [name for name in archive.namelist() if name.endswith(".txt")]
        ingested, cleaned = news.output("ingest"), news.output("clean")
        assert len(names) == ARTICLES
        assert (ingested["rows"], ingested["rows"] + ingested["duplicates"]) == (DIFFERENT, ARTICLES)
        assert cleaned["rows"] + cleaned["dropped_rows"] == DIFFERENT

    def test_every_drop_and_every_repair_has_its_reason(self, news: LabelledJourney) -> None:
        cleaned = news.output("clean")
        store = open_layers(news.stack.settings)
        dropped = [msgspec.json.decode(line) for line in store.read(cleaned["dropped"]["digest"]).splitlines()]
        changes = [msgspec.json.decode(line) for line in store.read(cleaned["changes"]["digest"]).splitlines()]
        assert len(dropped) == cleaned["dropped_rows"]
        assert all(item["reason"] and item["source"].startswith("bbc/") for item in dropped)
        assert len(changes) == cleaned["changed_rows"]
        assert all(item["cleaner"] and item["what"] for item in changes)

    def test_the_stores_are_where_the_settings_say(self, news: LabelledJourney, place: dict[str, str]) -> None:
        settings = news.stack.settings
        scheme = "s3://" if place else "file://"
        assert settings.artifacts.startswith(scheme)
        assert settings.datasets.startswith(scheme)


class TestLabelling:
    def test_two_people_answered_and_what_they_disputed_was_settled(self, news: LabelledJourney) -> None:
        asked, first, last = (news.output(task) for task in ("hand_off", "pull_labels", "pull_settled"))
        assert first["counts"]["asked"] == asked["tasks"]
        assert first["counts"]["answers"] == 2 * asked["tasks"]
        assert (first["disputed_rows"], last["disputed_rows"]) == (WRONG, 0)
        assert last["counts"]["settled"] == WRONG

    def test_every_answer_is_kept(self, news: LabelledJourney) -> None:
        store = LabelStore(open_database(news.stack.settings.database))
        manifest = news.manifest_of("labelled_manifest")
        people = Counter(answer.annotator for answer in store.all_answers(manifest.dataset.digest))
        asked = int(news.output("hand_off")["tasks"])
        assert people["source"] == manifest.dataset.rows
        first, second = (people[person.email] for person in news.people)
        assert (first, second) == (asked + WRONG, asked)

    def test_the_resolved_labels_are_the_folders_names(self, news: LabelledJourney) -> None:
        version = news.manifest_of("labelled_manifest").dataset
        rows = open_datasets(news.stack.settings.datasets).read(version, ["sample_id", "source"]).to_pylist()
        folders = {row["sample_id"]: Path(row["source"]).parent.name for row in rows}
        assert news.labels_of("labelled_manifest") == folders

    def test_the_token_is_in_no_xcom_and_no_log(self, news: LabelledJourney) -> None:
        for task in news.watcher.tasks("news_data", news.run):
            assert TOKEN not in str(news.output(str(task["task_id"])))
        logs = (news.stack.home / "airflow" / "logs").rglob("*.log")
        assert not [path for path in logs if TOKEN in path.read_text(errors="replace")]


class TestGates:
    def test_the_right_roles_decided_and_nobody_else_could(self, news: LabelledJourney) -> None:
        assert set(news.refusals) == {"data", "labelling", "labels", "experiment", "model"}
        assert {status for refusals in news.refusals.values() for status in refusals.values()} == {403}
        assert news.gates == 5

    def test_whoever_accepts_the_labels_sees_how_far_people_agree(self, news: LabelledJourney) -> None:
        shown = news.questions["labels"]["body"]
        assert "are disputed" in shown
        assert "Krippendorff" in shown
        assert "Labelling report" in shown

    def test_the_accepted_manifest_names_dataset_and_labels_and_is_queued(self, news: LabelledJourney) -> None:
        made = news.output("labelled_manifest")["manifest"]["digest"]
        store = open_layers(news.stack.settings)
        manifest = chain(store, made)[made]
        assert isinstance(manifest, DataManifest)
        assert manifest.labels.dataset == manifest.dataset.digest
        assert manifest.labels.rows == manifest.dataset.rows
        records = Ledger(open_database(news.stack.settings.database)).records()
        promoted = [record.body for record in records if record.kind == "promotion"]
        assert [body["manifest"] for body in promoted if body["queue"] == "news/model"] == [made]

    def test_the_labelling_report_can_be_opened(self, news: LabelledJourney) -> None:
        links = news.watcher._json("GET", f"/dags/news_data/dagRuns/{news.run}/taskInstances/pull_settled/links")
        url = str(links["extra_links"]["Report"])
        token = news.watcher.client.headers["Authorization"]
        page = httpx.get(url, headers={"Authorization": token})
        assert page.status_code == 200
        assert "Krippendorff" in page.text


class TestTheModelOfTexts:
    """On PyTorch: words counted by their hashes, two dense layers."""

    @pytest.fixture
    def candidate(self, news: LabelledJourney) -> CandidateManifest:
        made = news.watcher.xcom("news_model", news.runs["news_model"], "register", "return_value")
        return load(open_layers(news.stack.settings), made["manifest"]["digest"], CandidateManifest)

    def test_sorts_articles_that_it_never_saw(self, news: LabelledJourney, candidate: CandidateManifest) -> None:
        stored = open_layers(news.stack.settings).read(candidate.evaluation.digest)
        evaluation = msgspec.json.decode(stored, type=Evaluation)
        low, high = evaluation.intervals["accuracy"]
        print(f"news: accuracy {evaluation.accuracy:.4f} ({low:.4f} to {high:.4f}) on {evaluation.count} articles")
        assert evaluation.accuracy >= 0.96
        assert low < evaluation.accuracy < high

    def test_says_what_it_was_made_with(self, candidate: CandidateManifest) -> None:
        assert candidate.parameters["backend"] == "torch"
        assert candidate.environment["torch"] != "none"
        assert candidate.search is not None
        assert candidate.card is not None


@pytest.fixture(scope="module")
def fashion(news: LabelledJourney, test_data: Path) -> LabelledJourney:
    """The pictures in IDX files, on the same stack, through all three pipelines."""
    journey = LabelledJourney(news.stack, "fashion", news.people)
    journey.reads(test_data / "fashion-mnist")
    journey.through("fashion")
    return journey


class TestFashion:
    def test_it_reaches_an_endpoint(self, fashion: LabelledJourney) -> None:
        settings = fashion.stack.settings
        manifests = chain(open_layers(settings), ask_served("fashion", settings).manifest).values()
        candidate = next(manifest for manifest in manifests if isinstance(manifest, CandidateManifest))
        release = next(manifest for manifest in manifests if isinstance(manifest, ReleaseManifest))
        comparison = msgspec.json.decode(open_layers(settings).read(release.comparison.digest))
        assert candidate.metrics["accuracy"] >= 0.78
        assert comparison["compressed"]["bytes"] * 3 <= comparison["original"]["bytes"]
        assert comparison["points_lost"] <= 1.0
        assert comparison["compressed"]["p50_ms"] < 50
        assert ledger_holds(settings)

    def test_six_gates_opened(self, fashion: LabelledJourney) -> None:
        assert fashion.gates == 6
        assert set(fashion.refusals) == {"data", "labelling", "labels", "experiment", "model", "release"}

    def test_the_model_learned_from_what_people_checked(self, fashion: LabelledJourney) -> None:
        settled = fashion.output("pull_settled")["counts"]
        assert (settled["asked"], settled["settled"]) == (30, WRONG)
        assert fashion.labels_of("labelled_manifest") == fashion.truth
