"""Low-rank factorisation: one large kernel becomes two small ones."""

from typing import TYPE_CHECKING, Any

from airlock.errors import UserError
from airlock.model.compression.graph import functional, like, rebuilt
from airlock.model.compression.method import Count, Share, Work
from airlock.model.compression.retraining import Retrained, fresh, retrain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KINDS = ("Dense", "Conv2D")


class LowRank(Retrained, frozen=True, kw_only=True, tag_field="method", tag="low_rank"):
    """Writes the kernels of Dense and Conv2D layers as products of two thin ones, by singular value decomposition.

    A convolution becomes one with ``rank`` filters and a 1×1 convolution: Zhang et al. (2016), Accelerating very deep
    convolutional networks for classification and detection. A layer that would not become smaller stays as it is.

    :param rank: share of the largest possible rank.
    :param least: a layer's rank is at least that: few classes, or one channel of grey, allow only small ones.
    """

    rank: Share = 0.25
    least: Count = 8

    def apply(self, model: Any, work: Work) -> Any:
        """Factorise, then retrain."""
        fresh(work)
        graph = functional(model)
        ranks = {layer.name: rank for layer in graph.layers if (rank := self._rank(layer))}
        if not ranks:
            raise UserError(
                f"No Dense or Conv2D layer of the model becomes smaller at rank {self.rank:g}.",
                hint="Lower rank, or leave the method out.",
            )
        return retrain(_factorised(graph, ranks), model, work, self)

    def _rank(self, layer: Any) -> int:
        """Return the rank at which a layer becomes smaller; 0 when it does not."""
        if type(layer).__name__ not in KINDS or not type(layer).__module__.startswith("keras."):
            return 0
        if getattr(layer, "groups", 1) != 1 or getattr(layer, "data_format", "channels_last") != "channels_last":
            return 0
        kernel = layer.get_weights()[0]
        outputs = kernel.shape[-1]
        inputs = kernel.size // outputs
        rank = max(self.least, round(self.rank * min(inputs, outputs)))
        return rank if rank < min(inputs, outputs) and rank * (inputs + outputs) < inputs * outputs else 0


def _factorised(graph: Any, ranks: dict[str, int]) -> Any:
    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer.name not in ranks:
            return layer(*args, **kwargs)
        return layer(_first(graph.get_layer(layer.name), ranks[layer.name])(*args, **kwargs))

    small = rebuilt(graph, lambda old: _second(old) if old.name in ranks else like(old), call)
    for layer in graph.layers:
        weights = layer.get_weights()
        if layer.name in ranks:
            thin, wide = _halves(weights[0], ranks[layer.name])
            small.get_layer(f"{layer.name}_thin").set_weights([thin])
            weights = [wide, *weights[1:]]
        if weights:
            small.get_layer(layer.name).set_weights(weights)
    return small


def _first(layer: Any, rank: int) -> Any:
    size = {"units": rank} if type(layer).__name__ == "Dense" else {"filters": rank}
    return like(layer, name=f"{layer.name}_thin", use_bias=False, activation="linear", **size)


def _second(layer: Any) -> Any:
    if type(layer).__name__ == "Dense":
        return like(layer)
    return like(layer, kernel_size=(1, 1), strides=(1, 1), dilation_rate=(1, 1), padding="valid")


def _halves(kernel: "NDArray[np.float32]", rank: int) -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
    import numpy as np

    left, values, right = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), full_matrices=False)
    root = np.sqrt(values[:rank])
    thin, wide = left[:, :rank] * root, root[:, None] * right[:rank]
    ones = (1,) * (kernel.ndim - 2)
    return thin.reshape(*kernel.shape[:-1], rank), wide.reshape(*ones, rank, kernel.shape[-1])
