"""Follows channels through a network: which layers may lose some, and what is left of every layer's weights then.

A channel is a place on a tensor's last axis. What is not known to pass channels through one by one (sums of branches,
attention, nested models, a shared layer, an operation that is no layer) keeps all of its inputs' channels.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from airlock.model.compression.graph import like, rebuilt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

PRODUCERS = {"Dense": "units", "Conv1D": "filters", "Conv2D": "filters", "SeparableConv2D": "filters"}
"""Layers that can lose output channels, and what says how many they have."""
DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")
PASSING = {
    *("Activation", "ReLU", "LeakyReLU", "ELU", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise"),
    *("GaussianDropout", "Rescaling", "MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D"),
    *("GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D"),
    *("ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D", "UpSampling1D", "UpSampling2D"),
    *("BatchNormalization", "Flatten", "Concatenate", *DEPTHWISE),
}
"""Layers that pass channels through."""
MIXING = ("softmax", "log_softmax")
"""Activations in which every channel depends on every other."""


class Call(NamedTuple):
    """One layer called once.

    :param inputs: ids of the tensors it takes; ``output`` of the one it gives.
    """

    layer: Any
    inputs: list[int]
    output: int
    shape: tuple[int | None, ...]


class Graph:
    """The calls of a network, in the order in which they happen.

    :param model: see :func:`airlock.model.compression.graph.functional`.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.calls: list[Call] = []
        self._kept_alive: list[Any] = []  # ids must stay unique
        traced = rebuilt(model, like, self._record)
        self.output = id(traced.outputs[0])
        self._kept_alive.append(traced)
        self.places: dict[int, Places] = {}
        """By tensor, the channels that are left."""

    def _record(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        import keras

        given = layer(*args, **kwargs)
        taken = [each for each in keras.tree.flatten((args, kwargs)) if isinstance(each, keras.KerasTensor)]
        for each in keras.tree.flatten(given):
            self.calls.append(Call(layer, [id(tensor) for tensor in taken], id(each), tuple(each.shape)))
            self._kept_alive.append(each)
        self._kept_alive += taken
        return given

    def prunable(self) -> list[Call]:
        """Return the calls of layers that may lose output channels."""
        guarded = {self.output}
        for call in reversed(self.calls):
            if not self._passes(call) and not (_kind(call.layer) in PRODUCERS and _takes_apart(call.layer)):
                guarded.update(call.inputs)  # it needs all it gets
            elif self._passes(call) and call.output in guarded:
                guarded.update(call.inputs)
        return [
            call
            for call in self.calls
            if _kind(call.layer) in PRODUCERS
            and _takes_apart(call.layer)
            and self._once(call)
            and call.output not in guarded
        ]

    def left(self, kept: "dict[str, Places]") -> "list[tuple[Call, list[Places | None], Places]]":
        """Follow what is kept through the network.

        :param kept: by a layer's name, the output channels that stay; a layer that is not named keeps all.
        :return: every call with what is left of its inputs (``None`` for all) and of its output.
        """
        import numpy as np

        places: dict[int, Places] = {}
        shapes = {call.output: call.shape for call in self.calls}
        found = []
        for call in self.calls:
            taken = [places.get(name) for name in call.inputs]
            everything = np.arange(call.shape[-1] or 0)
            given = kept.get(call.layer.name)
            if given is None:
                given = _passed(call, taken, shapes) if self._passes(call) else everything
            places[call.output] = given
            found.append((call, taken, given))
        return found

    def _passes(self, call: Call) -> bool:
        return _kind(call.layer) in PASSING and _is_last(call.layer) and not _mixes(call.layer)

    def _once(self, call: Call) -> bool:
        return sum(other.layer is call.layer for other in self.calls) == 1


def sliced(layer: Any, weights: "list[NDArray[Any]]", taken: "list[Places | None]", given: "Places") -> "list[Any]":
    """Return what is left of a layer's weights.

    :param taken: see :meth:`Graph.left`; likewise ``given``.
    """
    kind, source = _kind(layer), taken[0] if taken else None
    if kind in DEPTHWISE:
        return [weights[0] if source is None else weights[0][..., source, :], *(bias[given] for bias in weights[1:])]
    if kind == "SeparableConv2D":
        depth, point, *biases = weights
        return [*_rows(depth, point, source, layer.depth_multiplier, given), *(bias[given] for bias in biases)]
    if kind in PRODUCERS:
        kernel, *biases = weights
        kernel = kernel if source is None else kernel[..., source, :]
        return [kernel[..., given], *(bias[given] for bias in biases)]
    return [weight[given] for weight in weights] if kind in PASSING else weights


def _rows(depth: Any, point: Any, source: Any, multiplier: int, given: "Places") -> list[Any]:
    if source is None:
        return [depth, point[..., given]]
    return [depth[..., source, :], point[..., _multiplied(source, multiplier), :][..., given]]


def _passed(call: Call, taken: "list[Places | None]", shapes: dict[int, tuple[int | None, ...]]) -> "Places":
    import numpy as np

    kind, last = _kind(call.layer), call.shape[-1] or 0
    if all(places is None for places in taken):
        return np.arange(last)
    if kind == "Concatenate":
        widths = [shapes[name][-1] or 0 for name in call.inputs]
        starts = np.cumsum([0, *widths[:-1]])
        parts = [np.arange(w) if p is None else p for w, p in zip(widths, taken, strict=True)]
        return np.concatenate([start + part for start, part in zip(starts, parts, strict=True)])
    (places,) = taken
    assert places is not None
    if kind == "Flatten":
        width = shapes[call.inputs[0]][-1] or 1
        return (np.arange(last // width)[:, None] * width + places).ravel()
    return _multiplied(places, call.layer.depth_multiplier) if kind in DEPTHWISE else places


def _multiplied(places: "Places", multiplier: int) -> "Places":
    import numpy as np

    return (places[:, None] * multiplier + np.arange(multiplier)).ravel()


def _kind(layer: Any) -> str:
    module = type(layer).__module__
    return type(layer).__name__ if module.startswith("keras.") else ""


def _takes_apart(layer: Any) -> bool:
    """Whether each output channel depends on inputs only through its own part of the kernel."""
    return _is_last(layer) and getattr(layer, "groups", 1) == 1 and not getattr(layer, "lora_enabled", False)


def _mixes(layer: Any) -> bool:
    return getattr(getattr(layer, "activation", None), "__name__", "") in MIXING


def _is_last(layer: Any) -> bool:
    """Whether channels are the last axis."""
    axis = getattr(layer, "axis", -1)
    if _kind(layer) in ("BatchNormalization", "Concatenate") and axis not in (-1, [-1]):
        return False
    return bool(getattr(layer, "data_format", "channels_last") == "channels_last")
