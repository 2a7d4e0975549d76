"""Structured pruning: whole filters and units go, so that every runtime computes less."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airlock.errors import UserError
from airlock.model.compression.graph import functional, like, rebuilt
from airlock.model.compression.method import Share, Work
from airlock.model.compression.retraining import Retrained, fresh, retrain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from airlock.model.compression.channels import Graph

    Places = NDArray[np.int64]


class StructuredPruning(Retrained, frozen=True, kw_only=True, tag_field="method", tag="structured_pruning"):
    """Takes away the filters and units with the smallest L1 norm, builds a smaller network, and lets it learn.

    Li et al. (2017): Pruning filters for efficient ConvNets. What the last layer gives stays, and so does what is added
    to another branch or goes into a layer that is not known to treat channels one by one.

    :param keep: share of each layer's filters or units that stays, at least one.
    """

    keep: Share = 0.5

    def apply(self, model: Any, work: Work) -> Any:
        """Prune, then retrain."""
        fresh(work)
        return retrain(slimmed(model, self.keep), model, work, self)


def slimmed(model: Any, keep: float) -> Any:
    """Return a smaller model with the weights that are left.

    :raises UserError: no layer can lose anything.
    """
    from airlock.model.compression.channels import Graph

    graph = functional(model)
    traced = Graph(graph)
    kept = {call.layer.name: strongest(graph.get_layer(call.layer.name), keep) for call in traced.prunable()}
    if not kept:
        raise UserError(
            "No layer of the model can lose filters or units: each gives the answer itself, is added to another branch,"
            " or goes into a layer that needs all of them.",
            hint="Take low_rank, magnitude_pruning, or distillation with an architecture of your own.",
        )
    return _smaller(graph, traced, kept)


def strongest(layer: Any, keep: float) -> "Places":
    """Return the output channels with the largest L1 norm, in order."""
    import numpy as np

    kernel = layer.get_weights()[1 if type(layer).__name__ == "SeparableConv2D" else 0]
    norms = np.abs(kernel).sum(axis=tuple(range(kernel.ndim - 1)))
    return np.sort(np.argsort(-norms, kind="stable")[: max(1, round(keep * len(norms)))])


def _smaller(graph: Any, traced: "Graph", kept: "Mapping[str, Places]") -> Any:
    from airlock.model.compression.channels import PRODUCERS, sliced

    def layer(old: Any) -> Any:
        if old.name in kept and type(old).__name__ in PRODUCERS:
            return like(old, **{PRODUCERS[type(old).__name__]: len(kept[old.name])})
        return like(old)

    small = rebuilt(graph, layer)
    for call, taken, given in traced.left(dict(kept)):
        if weights := graph.get_layer(call.layer.name).get_weights():
            small.get_layer(call.layer.name).set_weights(sliced(call.layer, weights, taken, given))
    return small
