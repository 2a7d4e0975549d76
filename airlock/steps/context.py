"""What a running step may use: the stores, a working folder, and ways to say how it goes.

The sealed store and the datasets hold test samples: only a step whose module says ``SEALED = True`` is given them.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from airlock import progress
from airlock.errors import NotApproved
from airlock.references import Artifact
from airlock.settings import REFUSED, Settings
from airlock.steps.contract import RunInfo
from airlock.steps.workers import Worker
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.layers import HINT, open_layers, open_sealed

if TYPE_CHECKING:
    from airlock.stores.database import Database
    from airlock.stores.datasets import DatasetStore


WITHHELD = ("sealed", "datasets", "label_studio", "label_studio_token", "label_studio_secret")
"""Settings that lead to test samples."""


class StepContext:
    """Handed to a step's ``run``.

    :param settings: where the stores are.
    :param run: which task asks.
    :param workdir: an empty folder, removed afterwards.
    :param worker: which of several workers this is, when the task asked for more than one.
    """

    def __init__(self, settings: Settings, run: RunInfo, workdir: Path, worker: Worker | None = None) -> None:
        self.settings = settings
        self.run = run
        self.workdir = workdir
        self.worker = worker or Worker()
        self.metrics: dict[str, float] = {}
        self.links: dict[str, str] = {}

    @cached_property
    def artifacts(self) -> ArtifactStore:
        return open_layers(self.settings)

    @cached_property
    def sealed(self) -> ArtifactStore:
        """The store for what could give away test data.

        :raises NotApproved: the step does not declare that it needs it.
        """
        return open_sealed(self.settings)

    @cached_property
    def datasets(self) -> "DatasetStore":
        """The datasets, test samples included.

        :raises NotApproved: the step does not declare that it needs them.
        """
        from airlock.stores.datasets import open_datasets

        if self.settings.datasets == REFUSED:
            raise NotApproved(
                f"The step {self.run.task!r} may not open the datasets: they hold the sealed test samples.", hint=HINT
            )
        return open_datasets(self.settings.datasets)

    @cached_property
    def database(self) -> "Database":
        from airlock.stores.database import open_database

        return open_database(self.settings.database)

    def fetch(self, artifact: Artifact, name: str) -> Path:
        """Copy an artifact into the working folder under a name, verified."""
        return self.artifacts.fetch(artifact, self.workdir / name)

    def progress(self, done: int, total: int = 0, unit: str = "step", **metrics: float) -> None:
        """Say how far the step is; the operator shows it."""
        progress.emit(progress.Progress(done=done, total=total, unit=unit, metrics=metrics))

    def metric(self, name: str, value: float) -> None:
        """Report a figure worth comparing between runs."""
        self.metrics[name] = float(value)

    def link(self, label: str, target: str) -> None:
        """Leave a link: a URL, or the digest of a page in the artifact store."""
        self.links[label] = target


def narrowed(settings: Settings) -> Settings:
    """Return settings for steps that may not see test samples."""
    return msgspec.structs.replace(settings, **dict.fromkeys(WITHHELD, REFUSED))
