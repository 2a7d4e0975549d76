"""What all trials of a worker share: tensors mapped once, code, classes, and the parameters that are not varied."""

import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from airlock.digests import digest_document
from airlock.errors import UserError
from airlock.model.backend import load_keras
from airlock.model.network import Network
from airlock.model.search.space import DATA, NETWORK, merged
from airlock.model.tensors import Split, load_split, require_classes
from airlock.model.training import CheckpointStore, Schedule, Trained, Training
from airlock.stores.artifacts import ArtifactStore


class Bench:
    """Where trials are trained, one after the other.

    :param tensors: folders of transformed datasets, by the name that ``vary`` chooses them by.
    :param code: network files, likewise.
    :param parameters: of the use case; a trial's own go over them.
    :param seed: of every training: trials differ by their parameters only.
    :param stopping: says whether to stop: looked at before every batch.
    """

    def __init__(
        self,
        artifacts: ArtifactStore,
        tensors: Mapping[str, Path],
        code: Mapping[str, Path],
        classes: list[str],
        parameters: Mapping[str, Any],
        seed: int,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.artifacts = artifacts
        self.tensors = tensors
        self.code = code
        self.classes = classes
        self.parameters = dict(parameters)
        self.seed = seed
        self.stopping = stopping
        self._splits: dict[str, tuple[Split, Split]] = {}

    def train(
        self,
        chosen: Mapping[str, Any],
        checkpoints: CheckpointStore,
        interval: float,
        report: Callable[[int, dict[str, float]], None],
    ) -> Trained:
        """Train one trial to its end, from its checkpoint if there is one.

        :param report: called after every epoch; what it raises ends the training.
        """
        train, validation = self.splits(picked(chosen, DATA, self.tensors))
        parameters = merged(self.parameters, chosen)
        schedule = Schedule.of(parameters)
        load_keras(schedule.backend)
        code = self.code[picked(chosen, NETWORK, self.code)]
        training = Training(
            Network(code, train.x.shape[1:], len(self.classes), parameters, train.x.dtype.name),
            schedule,
            self.seed,
            checkpoints,
            report,
            interval=interval,
            stopping=self.stopping,
        )
        try:
            return training.run(train, validation)
        finally:
            load_keras().utils.clear_session()
            gc.collect()  # a model and its training functions refer to each other

    def splits(self, name: str) -> tuple[Split, Split]:
        """Return the training and validation samples of a dataset, opened once."""
        if name not in self._splits:
            train, validation = (load_split(self.tensors[name], part) for part in ("train", "validation"))
            require_classes(train, self.classes, "train")
            self._splits[name] = (train, validation)
        return self._splits[name]


def checkpoints_of(artifacts: ArtifactStore, study: str, number: int) -> CheckpointStore:
    """Return where a trial's state is kept between its worker's tries."""
    return CheckpointStore(artifacts, digest_document([study, number]).removeprefix("sha256:"))


def picked(chosen: Mapping[str, Any], kind: str, known: Mapping[str, Any]) -> str:
    """Return the name a trial chose, or the only one there is.

    :raises UserError: nothing of that name was handed over.
    """
    name = chosen.get(kind) or next(iter(known))
    if name not in known:
        raise UserError(f"There is no {kind} {name!r} to train on.", hint=f"There are: {', '.join(known)}.")
    return str(name)
