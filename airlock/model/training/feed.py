"""Batches of tensors for ``fit``, from any place in any epoch on: the order follows from seed and epoch alone.

x stays as it lies on disk (``uint8``, say) until the model casts it, on its own device. Nothing is copied but the rows
of a batch.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from airlock.model.backend import load_keras
from airlock.model.tensors import Split
from airlock.model.training.sharing import Group

if TYPE_CHECKING:
    from numpy.typing import NDArray

AHEAD = 8  # batches


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

    def batch(self, epoch: int, number: int) -> "tuple[NDArray[Any], ...]":
        """Return the samples and labels of a batch, numbered from 0; of a shared one also their weights."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.split.y))
        places = self._order[number * self.batch_size : (number + 1) * self.batch_size]
        places, *weights = self.group.share(places) if self.group else (places,)
        return self.split.x[places], self.split.y[places], *weights

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

        every = tf.range(len(self.split.y), dtype=tf.int64)
        return {"validation_data": _ahead(_batches(self, _tensors(self.split), every, 0))}


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
    """Gather ahead of the training step, on threads that the interpreter's lock does not hold up.

    The orders are drawn in the graph: of what Python gives, TensorFlow makes nothing ahead while it is deterministic.
    """
    import tensorflow as tf

    tensors = _tensors(feed.split)
    every = tf.range(len(feed.split.y), dtype=tf.int64)

    def batches(number: Any) -> Any:
        order = tf.random.experimental.stateless_shuffle(every, tf.stack([feed.seed, number]))
        return _batches(feed, tensors, order, tf.where(number == epoch, batch * feed.batch_size, 0))

    return _ahead(tf.data.Dataset.range(epoch, epochs + 1).flat_map(batches))


def _tensors(split: Split) -> "tuple[Any, Any]":
    """Return x and y as the graph refers to them: made within it, they would be copied into it, at most 2 GB."""
    import tensorflow as tf

    return tf.convert_to_tensor(split.x), tf.convert_to_tensor(split.y)


def _batches(feed: Feed, tensors: "tuple[Any, Any]", order: Any, first: Any) -> Any:
    """Cut an epoch's places into batches and gather these in one stage: another one costs as much again.

    :param first: the place in the order at which the first batch begins.
    """
    import tensorflow as tf

    x, y = tensors
    count = len(feed.split.y)

    def gathered(start: Any) -> Any:
        places = tf.slice(order, [start], [tf.minimum(count - start, feed.batch_size)])
        places, *weights = _shared(feed, places) if feed.group else (places,)
        return tf.gather(x, places), tf.gather(y, places), *weights

    return tf.data.Dataset.range(tf.cast(first, tf.int64), count, feed.batch_size).map(gathered)


def _shared(feed: Feed, places: Any) -> "tuple[Any, Any]":
    """Return this worker's places of a batch, which is a whole one or an epoch's last, and their weights."""
    import tensorflow as tf

    assert feed.group is not None
    rest = len(feed.split.y) % feed.batch_size or feed.batch_size
    whole, last = (feed.group.share(np.arange(count)) for count in (feed.batch_size, rest))
    mine, weights = tf.cond(
        tf.equal(tf.size(places), feed.batch_size),
        lambda: (tf.constant(whole[0]), tf.constant(whole[1])),
        lambda: (tf.constant(last[0]), tf.constant(last[1])),
    )
    return tf.gather(places, mine), weights


def _ahead(batches: Any) -> Any:
    """Make batches ahead, some at a time; tuning how many costs more than it gives where all is in memory."""
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(AHEAD).with_options(options)
