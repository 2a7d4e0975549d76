"""Magnitude pruning: the smallest weights become zero. The file is as large as before until it is packed."""

from typing import TYPE_CHECKING, Any

from airlock.errors import UserError
from airlock.model.compression.graph import copy_of
from airlock.model.compression.method import Share, Work
from airlock.model.compression.retraining import Retrained, Settled, fresh, retrain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RISING = 0.6
"""Share of the training in which sparsity rises; in the rest the masks are held."""


class MagnitudePruning(Retrained, frozen=True, kw_only=True, tag_field="method", tag="magnitude_pruning"):
    """Sparsity rises along a cubic while the model learns, layer by layer; then the masks are held.

    Zhu, M., Gupta, S. (2017): To prune, or not to prune: exploring the efficacy of pruning for model compression.

    :param sparsity: share of each kernel's weights that are zero in the end.
    """

    sparsity: Share = 0.8

    def apply(self, model: Any, work: Work) -> Any:
        """Prune while it learns; without epochs at once."""
        fresh(work)
        pruned = copy_of(model)
        kernels = [weight for layer in pruned.layers for weight in layer.trainable_weights if len(weight.shape) > 1]
        if not kernels:
            raise UserError("The model has no kernel whose weights could be pruned.", hint="Leave the method out.")
        masks = _Masks(kernels, self.sparsity)
        if not self.epochs:
            masks.raise_to(self.sparsity)
            return pruned
        rising = max(1, int(RISING * self.epochs * -(-len(work.train.y) // self.batch_size)))
        settled = Settled(first=int(RISING * self.epochs) + 1, after_batch=lambda done: masks.step(done / rising))
        return retrain(pruned, model, work, self, settled)


class _Masks:
    def __init__(self, kernels: list[Any], sparsity: float) -> None:
        self.kernels = kernels
        self.sparsity = sparsity
        self._masks: list[NDArray[np.bool_]] = []
        self._reached = 0.0

    def step(self, share: float) -> None:
        """Go on along the cubic.

        :param share: of the way to the final sparsity; more than 1 once it is reached.
        """
        wanted = self.sparsity * (1 - (1 - min(share, 1.0)) ** 3)
        if wanted > self._reached:
            self.raise_to(wanted)
        else:
            self._apply()

    def raise_to(self, sparsity: float) -> None:
        import numpy as np

        self._reached, self._masks = sparsity, []
        for kernel in self.kernels:
            size = np.abs(kernel.numpy())
            order = np.argsort(size, axis=None, kind="stable")
            mask = np.ones(size.size, bool)
            mask[order[: round(sparsity * size.size)]] = False
            self._masks.append(mask.reshape(size.shape))
        self._apply()

    def _apply(self) -> None:
        for kernel, mask in zip(self.kernels, self._masks, strict=True):
            kernel.assign(kernel.numpy() * mask)
