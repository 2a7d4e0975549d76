"""Trains a network: one fixed seed, a checkpoint after every epoch, the epoch with the lowest validation loss kept.

An epoch's order of samples follows from (seed, epoch) and a checkpoint holds weights, optimizer and random
generators: a training that was interrupted and resumed ends with the weights of one that was not.
"""

import io
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from airlock.errors import UserError
from airlock.model.backend import load_keras, seed_everything
from airlock.model.checkpoints import Checkpoint, CheckpointStore
from airlock.model.network import Network, require_probabilities
from airlock.model.tensors import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

Weights = list["NDArray[Any]"]


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters that the training itself reads; the network may have more.

    :param patience: epochs without a lower validation loss after which it stops; 0 for never.
    """

    epochs: Annotated[int, msgspec.Meta(ge=1)] = 10
    batch_size: Annotated[int, msgspec.Meta(ge=1)] = 64
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    patience: Annotated[int, msgspec.Meta(ge=0)] = 0

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "Schedule":
        """Read it from a use case's parameters.

        :raises UserError: a value is of the wrong type or out of range.
        """
        try:
            return msgspec.convert(dict(parameters), cls)
        except msgspec.ValidationError as error:
            raise UserError(
                f"The training's parameters are not valid: {error}.", hint="Correct `parameters`."
            ) from error


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a training.

    :param model: the Keras model with the best epoch's weights, not compiled.
    """

    model: Any
    epochs: int
    best_epoch: int
    history: list[dict[str, float]]


class Training:
    """One training of a network.

    :param report: called after every epoch with the number of epochs done and its metrics, before the checkpoint.
    """

    def __init__(
        self,
        network: Network,
        schedule: Schedule,
        seed: int,
        checkpoints: CheckpointStore,
        report: Callable[[int, dict[str, float]], None],
    ) -> None:
        self.network = network
        self.schedule = schedule
        self.seed = seed
        self.checkpoints = checkpoints
        self.report = report

    def run(self, train: Split, validation: Split) -> Trained:
        """Train to the end, from the last checkpoint if there is one.

        :raises UserError: the network cannot be built, or the loss is not a number any more.
        """
        model, last = self._start()
        batches = Batches(train, self.schedule.batch_size, self.seed)
        held_out = Batches(validation, self.schedule.batch_size, self.seed).in_order()
        while not self._over(last):
            last = self._epoch(model, last, batches.of_epoch(last.epoch), held_out)
            self.checkpoints.save(last)
        best = self.network.build()
        best.set_weights(_unpack(last.best))
        require_probabilities(best, validation.x[:16])
        return Trained(model=best, epochs=last.epoch, best_epoch=last.best_epoch, history=last.history)

    def _start(self) -> tuple[Any, Checkpoint]:
        seed_everything(self.seed)
        keras = load_keras()
        model = self.network.build()
        model.compile(
            optimizer=keras.optimizers.Adam(self.schedule.learning_rate),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        last = self.checkpoints.load()
        if last is None:
            return model, Checkpoint(epoch=0, best_epoch=0, history=[], state=b"", best=b"")
        _restore(model, last.state)
        return model, last

    def _over(self, last: Checkpoint) -> bool:
        waited = last.epoch - last.best_epoch
        return last.epoch >= self.schedule.epochs or 0 < self.schedule.patience <= waited

    def _epoch(self, model: Any, last: Checkpoint, batches: Any, held_out: Any) -> Checkpoint:
        epoch = last.epoch + 1
        fitted = model.fit(
            batches, validation_data=held_out, initial_epoch=last.epoch, epochs=epoch, shuffle=False, verbose=0
        )
        metrics = {name: float(values[0]) for name, values in fitted.history.items()}
        self._require_finite(metrics, epoch)
        self.report(epoch, metrics)
        better = all(metrics["val_loss"] < earlier["val_loss"] for earlier in last.history)
        return Checkpoint(
            epoch=epoch,
            best_epoch=epoch if better else last.best_epoch,
            history=[*last.history, metrics],
            state=_pack([variable.numpy() for variable in _variables(model)]),
            best=_pack(model.get_weights()) if better else last.best,
        )

    def _require_finite(self, metrics: dict[str, float], epoch: int) -> None:
        if not all(math.isfinite(value) for value in metrics.values()):
            figures = ", ".join(f"{name} is {value:g}" for name, value in metrics.items())
            raise UserError(
                f"The training diverged in epoch {epoch}: {figures}.",
                hint=f"Lower learning_rate (now {self.schedule.learning_rate:g}), or check the network's activations.",
            )


class Batches:
    """A split as a tf.data pipeline of ``uint8`` batches: the cast to float is the model's, on its own device."""

    def __init__(self, split: Split, batch_size: int, seed: int) -> None:
        import tensorflow as tf

        self._x = tf.constant(split.x)
        self._y = tf.constant(split.y)
        self._batch_size = batch_size
        self._seed = seed

    def of_epoch(self, epoch: int) -> Any:
        """Return the batches in the order that follows from seed and epoch."""
        return self._pipeline(np.random.default_rng([self._seed, epoch]).permutation(len(self._y)))

    def in_order(self) -> Any:
        """Return the batches as the samples lie."""
        return self._pipeline(np.arange(len(self._y)))

    def _pipeline(self, order: "NDArray[np.int64]") -> Any:
        import tensorflow as tf

        places = tf.data.Dataset.from_tensor_slices(order).batch(self._batch_size)
        gathered = places.map(lambda batch: (tf.gather(self._x, batch), tf.gather(self._y, batch)), tf.data.AUTOTUNE)
        return gathered.prefetch(2)


def _variables(model: Any) -> list[Any]:
    """Return all that changes while a model trains: weights, random generators (dropout), the optimizer's moments."""
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def _restore(model: Any, state: bytes) -> None:
    for variable, value in zip(_variables(model), _unpack(state), strict=True):
        variable.assign(value)


def _pack(weights: Weights) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, *weights)
    return buffer.getvalue()


def _unpack(data: bytes) -> Weights:
    with np.load(io.BytesIO(data)) as arrays:
        return [arrays[f"arr_{place}"] for place in range(len(arrays.files))]
