"""One training by several workers: each computes the gradients of its share of a batch, and all move by their mean.

Synchronous data parallelism (Dean et al. 2012; Goyal et al. 2017, Accurate, large minibatch SGD): the workers' weights
are the same after every batch, and the same as one worker's on the whole batch. ``fit`` runs in each worker by itself;
only the optimizer and the figures of an epoch go through the others, over TensorFlow's collectives or
``torch.distributed``. Why not under ``strategy.scope()``: decision 0026.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from airlock.errors import InfrastructureError

if TYPE_CHECKING:
    from numpy.typing import NDArray

HINT = "All workers start again from the last checkpoint."


class Group(ABC):
    """The workers of one training, as one of them sees them.

    :param index: this one; the first writes what the training leaves.
    """

    def __init__(self, index: int, count: int) -> None:
        self.index = index
        self.count = count

    @abstractmethod
    def mean(self, gradients: Sequence[Any]) -> list[Any]:
        """Return the means over all workers of the backend's tensors; ``None`` stays."""

    @abstractmethod
    def mean_of(self, values: Sequence[float]) -> list[float]:
        """Return the means over all workers of plain figures."""

    @abstractmethod
    @contextmanager
    def errors(self) -> Iterator[None]:
        """Give what the backend raises when another worker is gone one of our classes."""

    def share(self, batch: "NDArray[np.int64]") -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
        """Return this worker's samples of a batch, and their weights.

        Shares are of one size: where a batch cannot be divided, samples of weight 0 fill them up, and the others weigh
        so much more that the mean over workers of the means over shares is the mean over the batch.
        """
        size = -(-len(batch) // self.count)
        places = np.arange(self.index * size, (self.index + 1) * size)
        weights = np.where(places < len(batch), size * self.count / len(batch), 0).astype(np.float32)
        return batch[np.minimum(places, len(batch) - 1)], weights

    def optimizer(self, kind: type[Any]) -> type[Any]:
        """Return an optimizer that moves the weights by the mean of all workers' gradients."""
        group = self

        class Shared(kind):  # type: ignore[misc]
            def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
                return super().apply(group.mean(grads), trainable_variables)

        return Shared


class TensorFlowGroup(Group):
    """Over the collectives of ``tf.distribute``: NCCL between GPUs, rings over gRPC otherwise.

    Made before TensorFlow computes anything in this process: it must know of the others first. A worker computes on one
    GPU: several of a machine are several workers.
    """

    def __init__(self, index: int, addresses: Sequence[str]) -> None:
        super().__init__(index, len(addresses))
        task = {"type": "worker", "index": index}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(addresses)}, "task": task})
        import tensorflow as tf

        self._tf = tf
        tf.config.set_visible_devices(tf.config.list_physical_devices("GPU")[:1], "GPU")
        with self.errors():
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        (self._device,) = self._strategy.extended.worker_devices

    def mean(self, gradients: Sequence[Any]) -> list[Any]:
        tf = self._tf
        with tf.device(self._device):  # a collective asks each tensor where it is
            there = [tf.identity(tf.convert_to_tensor(each)) for each in gradients if each is not None]

        def reduced(tensors: Any) -> Any:
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, tensors)

        found = iter(self._strategy.experimental_local_results(self._strategy.run(reduced, (there,)))[0])
        return [None if each is None else next(found) for each in gradients]

    def mean_of(self, values: Sequence[float]) -> list[float]:
        (found,) = self.mean([self._tf.constant(values, self._tf.float64)])
        return [float(value) for value in found.numpy()]

    @contextmanager
    def errors(self) -> Iterator[None]:
        raised = self._tf.errors
        try:
            yield
        except (
            raised.UnavailableError,
            raised.AbortedError,
            raised.CancelledError,
            raised.DeadlineExceededError,
        ) as error:
            raise _gone(error) from error


class TorchGroup(Group):
    """Over ``torch.distributed``: NCCL where the worker has a GPU, Gloo otherwise."""

    def __init__(self, index: int, addresses: Sequence[str]) -> None:
        super().__init__(index, len(addresses))
        import torch
        import torch.distributed

        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        with self.errors():
            torch.distributed.init_process_group(
                "nccl" if self._device == "cuda" else "gloo",
                init_method=f"tcp://{addresses[0]}",
                rank=self.index,
                world_size=self.count,
            )

    def mean(self, gradients: Sequence[Any]) -> list[Any]:
        there = [each for each in gradients if each is not None]
        flat = self._torch.cat([each.reshape(-1) for each in there])  # one message for all of them
        with self.errors():
            self._torch.distributed.all_reduce(flat)
        parts = self._torch.split(flat / self.count, [each.numel() for each in there])
        found = iter([part.reshape(each.shape) for part, each in zip(parts, there, strict=True)])
        return [None if each is None else next(found) for each in gradients]

    def mean_of(self, values: Sequence[float]) -> list[float]:
        (found,) = self.mean([self._torch.tensor(values, dtype=self._torch.float64, device=self._device)])
        return [float(value) for value in found.tolist()]

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except self._torch.distributed.DistError as error:
            raise _gone(error) from error
        except RuntimeError as error:  # Gloo has no class of its own
            if "gloo" not in str(error):
                raise
            raise _gone(error) from error


def join(index: int, addresses: Sequence[str], backend: str) -> Group:
    """Join the other workers of a training.

    :param addresses: ``host:port`` of every worker, in order.
    :raises InfrastructureError: they are gone again.
    """
    return TorchGroup(index, addresses) if backend == "torch" else TensorFlowGroup(index, addresses)


def _gone(error: Exception) -> InfrastructureError:
    said = str(error).partition("\n")[0]
    return InfrastructureError(f"Another worker of this training went away: {said}", hint=HINT)
