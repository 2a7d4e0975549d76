"""Articles through the whole data pipeline: real Airflow, PostgreSQL, Label Studio; on disk, and on S3.

The DAG file is the same for both; only where the stores are differs. Two people answer over Label Studio's public API,
one of them sometimes wrong, and a third settles what they do not agree about.
"""

import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import msgspec
import pytest
from rich.console import Console

from airlock.governance.manifest import DataManifest, chain, load
from airlock.launcher.stack import down, up
from airlock.stores.database import open_database
from airlock.stores.datasets import open_datasets
from airlock.stores.labels import LabelStore
from airlock.stores.layers import open_layers
from airlock.stores.ledger import Ledger
from tests.integration.conftest import Stack, free_ports
from tests.integration.lifecycle import Journey
from tests.services import radosgw
from tests.services.label_studio import Labeler, LabelStudioServer, label_studio, label_studio_data

__all__ = ["label_studio", "label_studio_data"]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

ARCHIVE = "bbc-fulltext.zip"
ARTICLES, DIFFERENT = 1781, 1722
WRONG = 3
"""How many of the second person's answers are wrong."""
WAITS = {"wait_for_labels": "hand_off", "wait_for_adjudication": "adjudicate"}
S3 = {name: f"s3://airlock/{name}" for name in ("artifacts", "datasets", "sealed")}


class News(Journey):
    """Takes the articles through, and has people label what they are asked about."""

    def __init__(self, stack: Stack, people: tuple[Labeler, ...]) -> None:
        super().__init__(stack)
        self.people = people
        self.labelled: set[str] = set()

    @property
    def run(self) -> str:
        return self.runs["news_data"]

    def output(self, task: str) -> dict[str, Any]:
        """What a task handed on."""
        found: dict[str, Any] = self.watcher.xcom("news_data", self.run, task, "return_value")
        return found

    def _task(self, dag: str, run: str, task: dict[str, Any], told: set[str]) -> None:
        name = str(task["task_id"])
        if task["state"] == "deferred" and name in WAITS and name not in self.labelled:
            self.labelled.add(name)
            self._label(int(self.output(WAITS[name])["project"]), settle=name == "wait_for_adjudication")
        super()._task(dag, run, task, told)

    def _label(self, project: int, settle: bool) -> None:
        for number, person in enumerate(self.people[:1] if settle else self.people):
            for place, (sample_id, task) in enumerate(sorted(person.tasks(project).items())):
                wrong = number == 1 and place < WRONG
                person.answer(task, self._other(sample_id) if wrong else self.truth[sample_id])

    def _other(self, sample_id: str) -> str:
        return "tech" if self.truth[sample_id] != "tech" else "sport"

    @property
    def truth(self) -> dict[str, str]:
        """The folder each article lies in, by sample."""
        version = self.manifest_of("data_manifest").dataset
        table = open_datasets(self.stack.settings.datasets).read(version, ["sample_id", "source"])
        rows = zip(*(table[name].to_pylist() for name in ("sample_id", "source")), strict=True)
        return {sample_id: Path(source).parent.name for sample_id, source in rows}

    def manifest_of(self, task: str) -> DataManifest:
        """The manifest a task made."""
        store = open_layers(self.stack.settings)
        return load(store, str(self.output(task)["manifest"]["digest"]), DataManifest)


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables, for the stack inherits what starts it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def labelers(label_studio: LabelStudioServer) -> tuple[Labeler, ...]:
    """Two people, neither of them somebody who later accepts the labels."""
    return tuple(label_studio.labeler(f"{name}@example.com") for name in ("lena", "lara"))


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
def news(
    place: dict[str, str], label_studio: LabelStudioServer, labelers: tuple[Labeler, ...], test_data: Path
) -> Iterator[News]:
    """The articles, taken to the accepted labels once."""
    studio = {"label_studio": label_studio.url, "label_studio_token": label_studio.token}
    console = Console(force_terminal=False)
    with (
        tempfile.TemporaryDirectory(prefix="airlock-stack-", ignore_cleanup_errors=True) as folder,
        ExitStack() as stays,
    ):
        home = Path(folder)
        (home / "settings.json").write_bytes(msgspec.json.encode(place | studio))
        stays.callback(down, home, console=console)
        up(home, port_base=free_ports(), console=console, triggerer=True)
        journey = News(Stack(home), labelers)
        variable = {"key": "airlock_news_location", "value": str(test_data / ARCHIVE)}
        assert journey.watcher.client.post("/variables", json=variable).status_code == 201
        journey.through("news", ("data",))
        yield journey


class TestCollecting:
    def test_every_article_is_accounted_for(self, news: News, test_data: Path) -> None:
        with zipfile.ZipFile(test_data / ARCHIVE) as archive:
            names = [name for name in archive.namelist() if name.endswith(".txt")]
        ingested, cleaned = news.output("ingest"), news.output("clean")
        assert len(names) == ARTICLES
        assert (ingested["rows"], ingested["rows"] + ingested["duplicates"]) == (DIFFERENT, ARTICLES)
        assert cleaned["rows"] + cleaned["dropped_rows"] == DIFFERENT

    def test_every_drop_and_every_repair_has_its_reason(self, news: News) -> None:
        cleaned = news.output("clean")
        store = open_layers(news.stack.settings)
        dropped = [msgspec.json.decode(line) for line in store.read(cleaned["dropped"]["digest"]).splitlines()]
        changes = [msgspec.json.decode(line) for line in store.read(cleaned["changes"]["digest"]).splitlines()]
        assert len(dropped) == cleaned["dropped_rows"]
        assert all(item["reason"] and item["source"].startswith("bbc/") for item in dropped)
        assert len(changes) == cleaned["changed_rows"]
        assert all(item["cleaner"] and item["what"] for item in changes)

    def test_the_stores_are_where_the_settings_say(self, news: News, place: dict[str, str]) -> None:
        settings = news.stack.settings
        scheme = "s3://" if place else "file://"
        assert settings.artifacts.startswith(scheme)
        assert settings.datasets.startswith(scheme)


class TestLabelling:
    def test_two_people_answered_and_what_they_disputed_was_settled(self, news: News) -> None:
        asked, first, last = (news.output(task) for task in ("hand_off", "pull_labels", "pull_settled"))
        assert first["counts"]["asked"] == asked["tasks"]
        assert first["counts"]["answers"] == 2 * asked["tasks"]
        assert (first["disputed_rows"], last["disputed_rows"]) == (WRONG, 0)
        assert last["counts"]["settled"] == WRONG

    def test_every_answer_is_kept(self, news: News) -> None:
        store = LabelStore(open_database(news.stack.settings.database))
        manifest = news.manifest_of("labelled_manifest")
        people = Counter(answer.annotator for answer in store.all_answers(manifest.dataset.digest))
        asked = int(news.output("hand_off")["tasks"])
        assert people["source"] == manifest.dataset.rows
        first, second = (people[person.email] for person in news.people)
        assert (first, second) == (asked + WRONG, asked)

    def test_the_resolved_labels_are_right(self, news: News) -> None:
        labels = LabelStore(open_database(news.stack.settings.database)).read(
            news.manifest_of("labelled_manifest").labels
        )
        assert labels == news.truth

    def test_the_token_is_in_no_xcom_and_no_log(self, news: News, label_studio: LabelStudioServer) -> None:
        for task in news.watcher.tasks("news_data", news.run):
            assert label_studio.token not in str(news.output(str(task["task_id"])))
        logs = (news.stack.home / "airflow" / "logs").rglob("*.log")
        assert not [path for path in logs if label_studio.token in path.read_text(errors="replace")]


class TestGates:
    def test_three_roles_decided_and_nobody_else_could(self, news: News) -> None:
        assert set(news.refusals) == {"data", "labelling", "labels"}
        assert {status for refusals in news.refusals.values() for status in refusals.values()} == {403}
        assert news.gates == 3

    def test_whoever_accepts_the_labels_sees_how_far_people_agree(self, news: News) -> None:
        shown = news.questions["labels"]["body"]
        assert "are disputed" in shown
        assert "Krippendorff" in shown
        assert "Labelling report" in shown

    def test_the_accepted_manifest_names_dataset_and_labels_and_is_queued(self, news: News) -> None:
        made = news.output("labelled_manifest")["manifest"]["digest"]
        store = open_layers(news.stack.settings)
        manifest = chain(store, made)[made]
        assert isinstance(manifest, DataManifest)
        assert manifest.labels.dataset == manifest.dataset.digest
        assert manifest.labels.rows == manifest.dataset.rows
        records = Ledger(open_database(news.stack.settings.database)).records()
        assert [record.body["manifest"] for record in records if record.kind == "promotion"] == [made]

    def test_the_labelling_report_can_be_opened(self, news: News) -> None:
        links = news.watcher._json("GET", f"/dags/news_data/dagRuns/{news.run}/taskInstances/pull_settled/links")
        url = str(links["extra_links"]["Report"])
        token = news.watcher.client.headers["Authorization"]
        page = httpx.get(url, headers={"Authorization": token})
        assert page.status_code == 200
        assert "Krippendorff" in page.text
