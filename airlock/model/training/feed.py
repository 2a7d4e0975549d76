"""Batches of tensors for ``fit``, from any place in any epoch on: the order follows from seed and epoch alone.

x stays as it lies on disk (``uint8``, say) until the model casts it, on its own device. Nothing is copied but the rows
of a batch.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from airlock.model.backend import load_keras
from airlock.model.tensors import Split
from airlock.model.training.sharing import Group

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Feed:
    """The batches of a training split.

    :param batch_size: samples a batch; an epoch's last one may have less.
    :param group: the workers that share each batch, if there are several.
    """

    def __init__(self, split: Split, batch_size: int, seed: int, group: Group | None = None) -> None:
        self.split = split
        self.batch_size = batch_size
        self.seed = seed
        self.group = group
        self._epoch = -1
        self._order = np.arange(0)

    @property
    def batches(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.split.y) // self.batch_size)

    def order(self, epoch: int) -> "NDArray[np.int64]":
        """Return the places of an epoch's samples, in the order in which they are seen."""
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.split.y))

    def batch(self, epoch: int, number: int) -> "tuple[NDArray[Any], ...]":
        """Return the samples and labels of a batch, numbered from 0; of a shared one also their weights."""
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self.order(epoch)
        places, *weights = self._seen(self._order, number)
        return self.split.x[places], self.split.y[places], *weights

    def seen(self, epoch: int, batch: int) -> "tuple[NDArray[Any], ...]":
        """Return the places of all that this worker sees in an epoch from a batch on, in order; and their weights."""
        order = self.order(epoch)
        if self.group is None:
            return (order[batch * self.batch_size :],)
        shares = [self._seen(order, number) for number in range(batch, self.batches)]
        return tuple(np.concatenate(part) for part in zip(*shares, strict=True))

    @property
    def share_size(self) -> int:
        """Samples of a batch that this worker sees."""
        return -(-self.batch_size // (self.group.count if self.group else 1))

    def _seen(self, order: "NDArray[np.int64]", number: int) -> "tuple[NDArray[Any], ...]":
        """Return the places of what this worker sees of a batch, and their weights where others see the rest."""
        places = order[number * self.batch_size : (number + 1) * self.batch_size]
        return self.group.share(places) if self.group else (places,)

    def from_place(self, epoch: int, batch: int, epochs: int, backend: str) -> Any:
        """Return the batches as ``fit`` takes them on a backend."""
        if backend == "torch":
            return _sequence(self, batch)
        return _pipeline(self, epoch, batch, epochs)

    def validation(self, backend: str) -> dict[str, Any]:
        """Return the arguments by which ``fit`` measures on all samples, as they lie."""
        if backend == "torch":
            return {"validation_data": (self.split.x, self.split.y), "validation_batch_size": self.batch_size}
        import tensorflow as tf

        places = tf.data.Dataset.range(len(self.split.y)).batch(self.batch_size)
        return {"validation_data": _gathered(self, places)}


def _sequence(feed: Feed, batch: int) -> Any:
    """Give batches by number: Keras may look at one before it trains. ``epoch`` is whoever fits to set."""

    class Sequence(load_keras().utils.PyDataset):  # type: ignore[misc]
        epoch = 0

        def __len__(self) -> int:
            return feed.batches - batch

        def __getitem__(self, number: int) -> "tuple[NDArray[Any], ...]":
            return feed.batch(self.epoch, batch + number)

    return Sequence()


def _pipeline(feed: Feed, epoch: int, batch: int, epochs: int) -> Any:
    """Gather ahead of the training step, on threads that the interpreter's lock does not hold up."""
    import tensorflow as tf

    def orders() -> "Iterator[tuple[NDArray[Any], ...]]":
        for number in range(epoch, epochs + 1):
            yield feed.seen(number, batch if number == epoch else 0)

    kinds = (tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.float32))
    found = tf.data.Dataset.from_generator(orders, output_signature=kinds[: 2 if feed.group else 1])
    return _gathered(feed, found.flat_map(lambda *order: _cut(order, feed.share_size)))


def _cut(order: Any, size: int) -> Any:
    """Cut an epoch's places into batches, as slices: one sample at a time costs more than to gather it."""
    import tensorflow as tf

    starts = tf.data.Dataset.range(0, tf.shape(order[0], tf.int64)[0], size)
    return starts.map(lambda start: tuple(part[start : start + size] for part in order))


def _gathered(feed: Feed, places: Any) -> Any:
    import tensorflow as tf

    x, y = tf.convert_to_tensor(feed.split.x), tf.convert_to_tensor(feed.split.y)
    found = places.map(lambda batch, *weights: (tf.gather(x, batch), tf.gather(y, batch), *weights), tf.data.AUTOTUNE)
    return found.prefetch(2)
