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


class Graph:
    """The calls of a network, in the order in which they happen.

    :param model: see :func:`airlock.model.compression.graph.functional`.
    """

    def __init__(self, model: Any) -> None:
        self.calls: list[Call] = []
        self._widths: dict[int, int] = {}
        self._kept_alive: list[Any] = []  # ids must stay unique
        traced = rebuilt(model, like, self._record)
        self.output = id(traced.outputs[0])
        self._kept_alive.append(traced)

    def _record(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        import keras

        given = layer(*args, **kwargs)
        taken = [each for each in keras.tree.flatten((args, kwargs)) if isinstance(each, keras.KerasTensor)]
        for each in keras.tree.flatten(given):
            self.calls.append(Call(layer, [id(tensor) for tensor in taken], id(each)))
        for each in (*taken, *keras.tree.flatten(given)):
            self._widths[id(each)] = (each.shape[-1] if each.shape else None) or 0
            self._kept_alive.append(each)
        return given

    def prunable(self) -> list[Call]:
        """Return the calls of layers that may lose output channels."""
        guarded = {self.output}
        for call in reversed(self.calls):
            needs_all = not self._passes(call) and not self._produces(call)
            if needs_all or (self._passes(call) and call.output in guarded):
                guarded.update(call.inputs)
        return [
            call
            for call in self.calls
            if self._produces(call) and not _mixes(call.layer) and call.output not in guarded
        ]

    def left(self, kept: "dict[str, Places]") -> "list[tuple[Call, list[Places | None], Places]]":
        """Follow what is kept through the network.

        :param kept: by a layer's name, the output channels that stay; a layer that is not named keeps all.
        :return: every call with what is left of its inputs (``None`` for all) and of its output.
        """
        import numpy as np

        places: dict[int, Places] = {}
        found = []
        for call in self.calls:
            taken = [places.get(name) for name in call.inputs]
            given = kept.get(call.layer.name)
            if given is None and self._passes(call) and any(place is not None for place in taken):
                given = _passed(call, taken, self._widths)
            elif given is None:
                given = np.arange(self._widths[call.output])
            places[call.output] = given
            found.append((call, taken, given))
        return found

    def _passes(self, call: Call) -> bool:
        return _kind(call.layer) in PASSING and _channelwise(call.layer) and not _mixes(call.layer) and self._once(call)

    def _produces(self, call: Call) -> bool:
        return _kind(call.layer) in PRODUCERS and _channelwise(call.layer) and self._once(call)

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


def _passed(call: Call, taken: "list[Places | None]", known: dict[int, int]) -> "Places":
    import numpy as np

    kind, widths = _kind(call.layer), [known[name] for name in call.inputs]
    if kind == "Concatenate":
        starts = np.cumsum([0, *widths[:-1]])
        parts = [np.arange(w) if p is None else p for w, p in zip(widths, taken, strict=True)]
        return np.concatenate([start + part for start, part in zip(starts, parts, strict=True)])
    (places,) = taken
    assert places is not None
    if kind == "Flatten":
        return (np.arange(known[call.output] // widths[0])[:, None] * widths[0] + places).ravel()
    return _multiplied(places, call.layer.depth_multiplier) if kind in DEPTHWISE else places


def _multiplied(places: "Places", multiplier: int) -> "Places":
    import numpy as np

    return (places[:, None] * multiplier + np.arange(multiplier)).ravel()


def _kind(layer: Any) -> str:
    module = type(layer).__module__
    return type(layer).__name__ if module.startswith("keras.") else ""


def _channelwise(layer: Any) -> bool:
    """Whether channels are the last axis, and its weights can be taken apart by channel."""
    if getattr(layer, "data_format", "channels_last") != "channels_last" or getattr(layer, "lora_enabled", False):
        return False
    if _kind(layer) not in DEPTHWISE and getattr(layer, "groups", 1) != 1:
        return False
    if _kind(layer) == "Rescaling" and not all(isinstance(each, int | float) for each in (layer.scale, layer.offset)):
        return False  # one number for each channel
    return _kind(layer) not in ("BatchNormalization", "Concatenate") or layer.axis in (-1, _rank(layer) - 1)


def _mixes(layer: Any) -> bool:
    return getattr(getattr(layer, "activation", None), "__name__", "") in MIXING


def _rank(layer: Any) -> int:
    """Number of axes of what a layer gives."""
    return len(layer.output.shape)
