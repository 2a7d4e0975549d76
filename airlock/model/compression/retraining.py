"""Lets a rewritten model learn again: from the labels, and from what the model before it answered.

The soft part of the loss is that of Hinton, Vinyals and Dean (2015), Distilling the knowledge in a neural network: the
Kullback-Leibler divergence between both models' answers at a temperature, times its square. It is computed here and not
by ``keras.distillation`` 3.15, whose default loss takes raw logits for probabilities.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from airlock.errors import UserError
from airlock.model.compression.method import Count, Rewrite, Work

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST = 1e-7
BATCH = 256


class Retrained(Rewrite, frozen=True, kw_only=True):
    """A method that lets the model learn again; the epoch with the lowest validation loss is kept.

    :param epochs: how many; 0 for none.
    :param learning_rate: at the beginning; it falls to 0 along a cosine.
    :param soft: share of the loss that the answers of the model before have in it; the labels have the rest.
    :param temperature: softens these answers.
    """

    epochs: Annotated[int, msgspec.Meta(ge=0)] = 10
    batch_size: Count = 64
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    soft: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    temperature: Annotated[float, msgspec.Meta(gt=0)] = 3.0


class Settled:
    """Which epochs count, and what happens at every batch: for methods that change the model while it learns.

    :param first: the first epoch that may be kept, from 1.
    :param after_batch: called with the number of batches done.
    """

    def __init__(self, first: int = 1, after_batch: Callable[[int], None] | None = None) -> None:
        self.first = first
        self.after_batch = after_batch


def retrain(model: Any, teacher: Any, work: Work, how: Retrained, settled: Settled | None = None) -> Any:
    """Train a model in place and return it, not compiled, with its best epoch's weights.

    :param teacher: the model before.
    :raises UserError: the loss is not a number any more.
    """
    from airlock.model.backend import load_keras
    from airlock.model.training.feed import Feed

    if not how.epochs:
        return model
    soft = [_softened(teacher, split.x, how.temperature) for split in (work.train, work.validation)]
    keras = load_keras()
    keras.utils.set_random_seed(work.seed)
    train, held_out = (
        Feed(split._replace(y=_wanted(split.y, answers, work.classes)), how.batch_size, work.seed)
        for split, answers in zip((work.train, work.validation), soft, strict=True)
    )
    rate = keras.optimizers.schedules.CosineDecay(how.learning_rate, how.epochs * train.batches)
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=_loss(work.classes, how))
    best = _best(work, how, settled or Settled())
    model.fit(
        train.from_place(1, 0, how.epochs, "tensorflow"),
        steps_per_epoch=train.batches,
        epochs=how.epochs,
        **held_out.validation("tensorflow"),
        shuffle=False,
        verbose=0,
        callbacks=[best],
    )
    model.set_weights(best.weights)
    model.compiled = False
    return model


def fresh(work: Work) -> None:
    """Fix the random generators, so that a method gives the same whatever ran before it."""
    from airlock.model.backend import seed_everything

    seed_everything(work.seed)


def _softened(model: Any, x: "NDArray[Any]", temperature: float) -> "NDArray[np.float32]":
    """Return a model's probabilities ``[N, classes]`` at a temperature."""
    import numpy as np

    parts = [np.asarray(model.predict_on_batch(np.asarray(x[at : at + BATCH]))) for at in range(0, len(x), BATCH)]
    powers = np.concatenate(parts).clip(LEAST, 1) ** (1 / temperature)
    shares: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _wanted(y: "NDArray[np.int64]", soft: "NDArray[np.float32]", classes: int) -> "NDArray[Any]":
    """Return ``float32 [N, 2 · classes]``: the label as one-hot, then the softened answer."""
    import numpy as np

    return np.concatenate([np.eye(classes, dtype=np.float32)[y], soft], axis=1)


def _loss(classes: int, how: Retrained) -> Callable[[Any, Any], Any]:
    from airlock.model.backend import load_keras

    ops = load_keras().ops

    def loss(wanted: Any, given: Any) -> Any:
        # Clipping makes a number of what is none, and a training that diverged would look like a bad one.
        log = ops.where(ops.isnan(given), given, ops.log(ops.clip(given, LEAST, 1.0)))
        labels, answers = wanted[:, :classes], wanted[:, classes:]
        hard = -ops.sum(labels * log, axis=-1)
        softened = ops.log_softmax(log / how.temperature, axis=-1)
        divergence = ops.sum(answers * (ops.log(ops.clip(answers, LEAST, 1.0)) - softened), axis=-1)
        return (1 - how.soft) * hard + how.soft * how.temperature**2 * divergence

    return loss


def _best(work: Work, how: Retrained, settled: Settled) -> Any:
    from airlock.model.backend import load_keras

    class Best(load_keras().callbacks.Callback):  # type: ignore[misc]
        lowest = math.inf
        batches = 0
        weights: Sequence[Any] = ()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            del batch, logs
            self.batches += 1
            if settled.after_batch:
                settled.after_batch(self.batches)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            figures = {name: float(value) for name, value in logs.items()}
            if not all(map(math.isfinite, figures.values())):
                raise UserError(
                    f"The retraining diverged in epoch {epoch + 1} of {how}.", hint="Lower its learning_rate."
                )
            work.report(epoch + 1, how.epochs, figures)
            if epoch + 1 >= min(settled.first, how.epochs) and figures["val_loss"] < self.lowest:
                self.lowest, self.weights = figures["val_loss"], self.model.get_weights()

    return Best()
