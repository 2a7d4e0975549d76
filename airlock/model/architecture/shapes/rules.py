"""What a shape rule is: from the tensors a layer reads to the tensor it makes and the weights it has."""

import math
from collections.abc import Callable
from typing import Any

import msgspec

from airlock.model.architecture.catalogue import Layer

FLOAT = "float32"


class Tensor(msgspec.Struct, frozen=True):
    """What flows between two nodes.

    :param shape: of one sample, without the batch.
    """

    shape: tuple[int, ...]
    dtype: str = FLOAT

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        return str(list(self.shape))


class Made(msgspec.Struct, frozen=True):
    """What a layer makes of its inputs.

    :param trainable: how many weights training changes.
    :param frozen: how many it does not.
    """

    shape: tuple[int, ...]
    trainable: int = 0
    frozen: int = 0
    dtype: str = FLOAT


class Misfit(ValueError):
    """A layer cannot read these inputs; the message is the reason."""


class Rule(msgspec.Struct, frozen=True):
    """How a layer reads its inputs.

    :param infer: computes what it makes.
    :param reads: names of the axes one input must have; ``…`` stands for any number.
    :param inputs: how many inputs it takes at least and at most.
    :param integers: it may read whole numbers. Keras lets every layer do so while a model is built and says the result
        is float32; what really happens is an error, or integers under a wrong name.
    """

    infer: Callable[[Layer, list[Tensor]], Made]
    reads: str = "…"
    inputs: tuple[int, int] = (1, 1)
    integers: bool = False

    def apply(self, layer: Layer, inputs: list[Tensor]) -> Made:
        """Compute what a layer makes.

        :raises Misfit: it cannot read these inputs.
        """
        self._require_count(layer, len(inputs))
        for tensor in inputs:
            self._require_axes(layer, tensor)
            if tensor.dtype != FLOAT and not self.integers:
                raise Misfit(f"{layer.kind} reads floats, and its input is {tensor.dtype}: put a Rescaling before it")
        made = self.infer(layer, inputs)
        if not layer.attributes.get("trainable", True):
            made = msgspec.structs.replace(made, trainable=0, frozen=made.frozen + made.trainable)
        return made

    def _require_count(self, layer: Layer, count: int) -> None:
        low, high = self.inputs
        if not low <= count <= high:
            wanted = f"{low}" if low == high else f"at least {low}" if high > 9 else f"{low} to {high}"
            raise Misfit(f"{layer.kind} reads {wanted} input{'s' if wanted != '1' else ''}, and has {count}")

    def _require_axes(self, layer: Layer, tensor: Tensor) -> None:
        axes = self.reads.split(", ")
        fixed = [axis for axis in axes if axis != "…"]
        fits = tensor.rank >= max(len(fixed), 1) if "…" in axes else tensor.rank == len(fixed)
        if not fits:
            raise Misfit(f"{layer.kind} reads [{self.reads}], and its input is {tensor}")


def spatial(rank: int, after: str = "channels", before: str = "") -> str:
    """Return the axes of pictures of 1, 2 or 3 dimensions, for :attr:`Rule.reads`."""
    axes = {1: ["steps"], 2: ["height", "width"], 3: ["depth", "height", "width"]}[rank]
    return ", ".join([*([before] if before else []), *axes, after])


def product(sizes: Any) -> int:
    return math.prod(sizes)


def axis_of(layer: Layer, value: int, tensor: Tensor) -> int:
    """Return the place in ``tensor.shape`` of an axis as Keras counts: 0 is the batch, -1 the last."""
    place = value - 1 if value > 0 else value + tensor.rank
    if value == 0 or not 0 <= place < tensor.rank:
        what = "is the batch" if place == -1 or value == 0 else "does not exist"
        raise Misfit(f"axis {value} of {layer.kind} {what}: its input is {tensor}, with axes 1 to {tensor.rank}")
    return place


def axes_of(layer: Layer, value: int | list[int], tensor: Tensor) -> list[int]:
    """Return :func:`axis_of` of one axis or of several different ones."""
    places = [axis_of(layer, each, tensor) for each in ([value] if isinstance(value, int) else value)]
    if len(set(places)) < len(places):
        raise Misfit(f"{layer.kind} names an axis twice: {value}")
    return places


def same(_layer: Layer, inputs: list[Tensor]) -> Made:
    """Infer a layer without weights that changes values only."""
    return Made(inputs[0].shape)
