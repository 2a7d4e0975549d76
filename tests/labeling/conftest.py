"""A dataset of short texts, a labelling gate that opens, and a real Label Studio with two labelers."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from msgspec.structs import replace

from airlock.launcher.postgres import EmbeddedPostgres
from airlock.references import Artifact, DatasetVersion
from airlock.settings import Settings
from airlock.steps.contract import Result, RunInfo, Spec
from airlock.steps.runner import run_spec
from airlock.stores.database import Database
from airlock.stores.datasets import open_datasets
from airlock.stores.labels import LabelStore
from tests.governed import NUMBERS, Governed, governed, home
from tests.services.label_studio import Labeler, LabelStudioServer, label_studio, label_studio_data, labelers

__all__ = ["governed", "home", "label_studio", "label_studio_data", "labelers"]

CLASSES = ["business", "sport", "tech"]
Step = Callable[..., dict[str, Any]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give whichever test comes first the time to install Label Studio and to migrate its database, once for all."""
    for item in items:
        if "label_studio_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(1800))


class Site:
    """The stores, the server and the steps between them.

    :param settings: of the steps.
    """

    def __init__(self, settings: Settings, governed: Governed, server: LabelStudioServer) -> None:
        self.settings = settings
        self.governed = governed
        self.server = server
        self.labels = LabelStore(governed.database)

    def run(self, step: str, **inputs: Any) -> Result:
        """Run a step as its operator would."""
        number = next(NUMBERS)
        info = RunInfo(dag="test", run="run", task=step, attempt=number)
        spec = Spec(step=step, inputs=msgspec.to_builtins(inputs), run=info, result=f"results/{number}.json")
        return run_spec(spec, self.settings)

    def outputs(self, step: str, **inputs: Any) -> dict[str, Any]:
        """Run a step that must succeed."""
        result = self.run(step, **inputs)
        assert result.failure is None, result.failure
        return result.outputs

    def dataset(self, count: int = 6) -> DatasetVersion:
        """Commit texts unlike those of every other test."""
        salt = next(NUMBERS)
        texts = [f"Article {number} of {salt}: word{number} word{number % 3}.".encode() for number in range(count)]
        ids = [hashlib.sha256(text).hexdigest() for text in texts]
        columns = {"sample_id": ids, "content": texts, "source": [f"sport/{n}.txt" for n in range(count)]}
        version, _ = open_datasets(self.settings.datasets).commit("news", pa.table(columns), {})
        return version

    def released(self, dataset: DatasetVersion, **changes: Any) -> dict[str, Any]:
        """Choose everything, write the manifest and release it to labelling."""
        chosen = self.outputs("choose_batch", dataset=dataset, size=1000, strategy="random", kind="text")
        asked = {"use_case": "news", "classes": CLASSES, "kind": "text", "batch": chosen["batch"]} | changes
        manifest = self.outputs("labelling_manifest", dataset=dataset, **asked)["manifest"]
        self.governed.approve(msgspec.convert(manifest, Artifact), use_case="news", gate="labelling")
        return manifest

    def handed(self, dataset: DatasetVersion, **changes: Any) -> dict[str, Any]:
        """Release everything and hand it off."""
        return self.outputs("hand_off", use_case="news", manifest=self.released(dataset, **changes))

    def ids(self, dataset: DatasetVersion) -> list[str]:
        """Sample ids of a dataset version."""
        return list(open_datasets(self.settings.datasets).digests(dataset))

    def tasks(self, project: int) -> dict[str, Any]:
        """Every task of a project by sample id, as the server exports it."""
        found = self.server.admin.get(f"/api/projects/{project}/export", params={"download_all_tasks": "true"})
        return {task["data"]["sample_id"]: task for task in found.raise_for_status().json()}

    def incidents(self, dataset: DatasetVersion) -> dict[str, int]:
        """What was noted, by kind."""
        counts: dict[str, int] = {}
        for item in self.labels.incidents(dataset.digest):
            counts[item.kind] = counts.get(item.kind, 0) + 1
        return counts


@pytest.fixture
def site(store_settings: Settings, governed: Governed, label_studio: LabelStudioServer) -> Site:
    """Give stores and steps that know the server."""
    settings = replace(store_settings, label_studio=label_studio.url, label_studio_token=label_studio.token)
    return Site(settings, governed, label_studio)


@pytest.fixture
def second_database(postgres: EmbeddedPostgres, database: Database) -> Iterator[Database]:
    """Give another fresh database."""
    name = f"second_{next(NUMBERS)}"
    postgres.create_database(name, "airlock_owner", members=("airlock_app", "airlock_guard"), template="template")
    yield Database(postgres.dsn("airlock_app", "test", name))
    with postgres.connect() as link, link.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def everybody(people: tuple[Labeler, ...], project: int, label: Callable[[int, str], str]) -> None:
    """Let everybody answer everything; ``label`` gives what person number n says about a sample."""
    for number, person in enumerate(people):
        for sample_id, task in sorted(person.tasks(project).items()):
            person.answer(task, label(number, sample_id))
