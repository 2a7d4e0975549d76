"""Trains a network: one fixed seed, a checkpoint at intervals, the epoch with the lowest validation loss kept.

The order of samples follows from seed and epoch, and a checkpoint holds weights, optimizer, random generators and the
place in the epoch: a training that was interrupted and resumed ends with the weights of one that was not.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from airlock.model.backend import load_keras
from airlock.model.network import Network, require_probabilities
from airlock.model.tensors import Split
from airlock.model.training.checkpoints import Checkpoint, CheckpointStore
from airlock.model.training.compiling import compiled, prepare
from airlock.model.training.feed import Feed
from airlock.model.training.fitting import Fitting
from airlock.model.training.schedule import Schedule
from airlock.model.training.sharing import Group
from airlock.model.training.state import restore_state, unpack

PROBED = 16
INTERVAL = 10.0
Report = Callable[[int, dict[str, float]], None]


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a training.

    :param model: the Keras model with the best epoch's weights, not compiled; it computes in 32 bits.
    """

    model: Any
    epochs: int
    best_epoch: int
    history: list[dict[str, float]]


class Training:
    """One training of a network.

    :param report: called after every epoch with the number of epochs done and its metrics; what it raises ends the
        training.
    :param interval: seconds from one checkpoint to the next; 0 for one after every epoch and no others.
    :param stopping: says whether to stop: looked at before every batch.
    :param parent: a Keras model to take the first weights from, layer by layer.
    :param group: the workers that train together, this one among them.
    """

    def __init__(
        self,
        network: Network,
        schedule: Schedule,
        seed: int,
        checkpoints: CheckpointStore,
        report: Report,
        *,
        interval: float = INTERVAL,
        stopping: Callable[[], bool] = lambda: False,
        parent: Any = None,
        group: Group | None = None,
    ) -> None:
        self.network = network
        self.schedule = schedule
        self.seed = seed
        self.checkpoints = checkpoints
        self.report = report
        self.interval = interval
        self.stopping = stopping
        self.parent = parent
        self.group = group

    def run(self, train: Split, validation: Split) -> Trained:
        """Train to the end, from the last checkpoint if there is one.

        :raises UserError: the network cannot be built, or the loss is not a number any more.
        :raises Interrupted: ``stopping`` said so.
        """
        prepare(self.schedule, self.seed)
        model = compiled(self.network.build(), self.schedule, self.network.rates, self.parent, self.group)
        last = self._resumed(model)
        feed = Feed(train, self.schedule.batch_size, self.seed, self.group)
        held_out = Feed(validation, self.schedule.batch_size, self.seed)
        last = Fitting(self, model, last).run(feed, held_out)
        return self._best(last, validation)

    def _resumed(self, model: Any) -> Checkpoint:
        last = self.checkpoints.load()
        if last is not None and restore_state(model, last.state):
            return last
        return Checkpoint()

    def _best(self, last: Checkpoint, validation: Split) -> Trained:
        keras = load_keras()
        keras.utils.clear_session(free_memory=False)  # so that layers are called as in the model that learned
        keras.config.set_dtype_policy("float32")  # a mixed policy is for learning; what runs models knows little of it
        best = self.network.build()
        best.set_weights(unpack(last.best))
        require_probabilities(best, validation.x[:PROBED])
        return Trained(model=best, epochs=last.epoch, best_epoch=last.best_epoch, history=last.history)
