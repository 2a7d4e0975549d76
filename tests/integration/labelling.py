"""Drives a use case whose data people label: answers as the labelers over Label Studio's public API."""

import shutil
from pathlib import Path
from typing import Any

import msgspec

from airlock.governance.manifest import DataManifest, load
from airlock.stores.database import open_database
from airlock.stores.labels import LabelStore
from airlock.stores.layers import open_layers
from tests.integration.conftest import Stack
from tests.integration.lifecycle import Journey
from tests.services.label_studio import TOKEN, Labeler, LabelStudioServer

WRONG = 3
"""How many of the second person's answers are wrong."""
WAITS = {"wait_for_labels": "hand_off", "wait_for_adjudication": "adjudicate"}


def prepare_studio(home: Path, data: Path) -> None:
    """Give a stack that is not started yet a Label Studio of its own, on a copy: making its tables takes minutes."""
    (home / "secrets.json").write_bytes(msgspec.json.encode({"labelling": TOKEN}))
    shutil.copytree(data, home / "labelling")


def people_of(stack: Stack) -> tuple[Labeler, ...]:
    """Two who label on a stack's Label Studio."""
    studio = LabelStudioServer(stack.home / "labelling", int(stack.settings.label_studio.rpartition(":")[2]))
    return tuple(studio.labeler(f"{name}@example.com") for name in ("lena", "lara"))


class LabelledJourney(Journey):
    """Takes a use case through, and has people label what they are asked about.

    :param people: the first one also settles disputes.
    """

    def __init__(self, stack: Stack, use_case: str, people: tuple[Labeler, ...]) -> None:
        super().__init__(stack)
        self.use_case = use_case
        self.people = people
        self.labelled: set[str] = set()

    def reads(self, location: Path) -> None:
        """Say where the use case's data is."""
        variable = {"key": f"airlock_{self.use_case}_location", "value": str(location)}
        assert self.watcher.client.post("/variables", json=variable).status_code == 201

    @property
    def run(self) -> str:
        return self.runs[f"{self.use_case}_data"]

    def output(self, task: str) -> dict[str, Any]:
        """What a task of the data pipeline handed on."""
        found: dict[str, Any] = self.watcher.xcom(f"{self.use_case}_data", self.run, task, "return_value")
        return found

    def _task(self, dag: str, run: str, task: dict[str, Any], told: set[str]) -> None:
        name = str(task["task_id"])
        if task["state"] == "deferred" and name in WAITS and name not in self.labelled:
            self.labelled.add(name)
            self._label(int(self.output(WAITS[name])["project"]), settle=name == "wait_for_adjudication")
        super()._task(dag, run, task, told)

    def _label(self, project: int, settle: bool) -> None:
        truth = self.truth
        for number, person in enumerate(self.people[:1] if settle else self.people):
            for place, (sample_id, task) in enumerate(sorted(person.tasks(project).items())):
                wrong = number == 1 and place < WRONG
                person.answer(task, self._other(truth[sample_id]) if wrong else truth[sample_id])

    def _other(self, label: str) -> str:
        return next(name for name in self.manifest_of("data_manifest").classes if name != label)

    @property
    def truth(self) -> dict[str, str]:
        """The label each sample came with."""
        return self.labels_of("data_manifest")

    def labels_of(self, task: str) -> dict[str, str]:
        """Sample to label, by the label set that a task's manifest names."""
        store = LabelStore(open_database(self.stack.settings.database))
        return store.read(self.manifest_of(task).labels)

    def manifest_of(self, task: str) -> DataManifest:
        """The manifest a task made."""
        store = open_layers(self.stack.settings)
        return load(store, str(self.output(task)["manifest"]["digest"]), DataManifest)
