"""Recurrent layers, and the layers that hold another one."""

from airlock.model.architecture.catalogue import Layer
from airlock.model.architecture.shapes.convolution import dilated, windowed
from airlock.model.architecture.shapes.rules import FLOAT, Made, Misfit, Rule, Tensor, product, spatial

GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}


def recurrent(layer: Layer, inputs: list[Tensor]) -> Made:
    steps, features = inputs[0].shape
    units, gates = layer["units"], GATES[layer.kind]
    biases = 2 if layer.kind == "GRU" and layer["reset_after"] else 1
    weights = gates * units * (features + units + biases * layer["use_bias"])
    return Made((steps, units) if layer["return_sequences"] else (units,), trainable=weights)


def convolution_lstm(layer: Layer, inputs: list[Tensor]) -> Made:
    steps, *sizes, channels = inputs[0].shape
    filters = layer["filters"]
    shape = (*windowed(layer, tuple(sizes), dilated(layer)), filters)
    weights = product(layer.sizes("kernel_size")) * (channels + filters) * 4 * filters + 4 * filters * layer["use_bias"]
    return Made((steps, *shape) if layer["return_sequences"] else shape, trainable=weights)


def bidirectional(layer: Layer, inputs: list[Tensor]) -> Made:
    if layer["layer"]["go_backwards"]:
        raise Misfit("Bidirectional turns its layer around itself: take go_backwards out")
    made = inner_of(layer, inputs[0])
    *outer, features = made.shape
    wide = 2 * features if layer["merge_mode"] == "concat" else features
    return Made((*outer, wide), trainable=2 * made.trainable, frozen=2 * made.frozen)


def time_distributed(layer: Layer, inputs: list[Tensor]) -> Made:
    steps, *rest = inputs[0].shape
    made = inner_of(layer, Tensor(tuple(rest), inputs[0].dtype))
    if made.dtype != FLOAT:
        raise Misfit(f"TimeDistributed makes floats, and its {layer['layer'].kind} makes {made.dtype}")
    return Made((steps, *made.shape), trainable=made.trainable, frozen=made.frozen)


def spectral_normalization(layer: Layer, inputs: list[Tensor]) -> Made:
    made = inner_of(layer, inputs[0])
    return Made(made.shape, trainable=made.trainable, frozen=made.frozen + made.shape[-1])


def inner_of(layer: Layer, tensor: Tensor) -> Made:
    """Return what the layer inside a wrapper makes.

    :raises Misfit: it cannot read this.
    """
    from airlock.model.architecture.shapes import RULES as ALL

    inner: Layer = layer["layer"]
    return ALL[inner.kind].apply(inner, [tensor])


RULES = {
    **dict.fromkeys(GATES, Rule(recurrent, reads="steps, features")),
    **{f"ConvLSTM{rank}D": Rule(convolution_lstm, reads=spatial(rank, before="steps")) for rank in (1, 2, 3)},
    "Bidirectional": Rule(bidirectional, reads="steps, features"),
    "TimeDistributed": Rule(time_distributed, reads="…, steps, features", integers=True),
    "SpectralNormalization": Rule(spectral_normalization),
}
