"""What attributes may be, and which layers an architecture may use: decided by hand, read by ``generate.py``.

A kind is a dict as it stands in ``layers.json``: ``{"kind": "number", "min": 0}``.
"""

import re
from typing import Any

Kind = dict[str, Any]
COUNT: Kind = {"kind": "integer", "min": 1}
BOOLEAN: Kind = {"kind": "boolean"}
NUMBER: Kind = {"kind": "number"}
NOT_NEGATIVE: Kind = {"kind": "number", "min": 0}
SHARE: Kind = {"kind": "number", "min": 0, "below": 1}
SEED: Kind = {"kind": "integer", "min": 0}
AXIS: Kind = {"kind": "integer"}
AXES: Kind = {"kind": "integers", "one": True}
NUMBERS: Kind = {"kind": "numbers"}
LAYER: Kind = {"kind": "layer"}
WINDOW: Kind = {"kind": "sizes", "min": 1}
EDGES: Kind = {"kind": "edges"}
PADDING: Kind = {"kind": "choice", "choices": ["valid", "same"]}
CAUSAL: Kind = {"kind": "choice", "choices": ["valid", "same", "causal"]}


def choice(*choices: str) -> Kind:
    return {"kind": "choice", "choices": list(choices)}


# fmt: off
LAYERS = {
    "Dense", "Embedding", "Masking", "Identity", "Activation", "ActivityRegularization", "Rescaling",
    "ReLU", "LeakyReLU", "ELU", "PReLU", "Softmax",
    "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose",
    "SeparableConv1D", "SeparableConv2D", "DepthwiseConv1D", "DepthwiseConv2D",
    "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D",
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D",
    "AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D",
    "AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D",
    "BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization",
    "UnitNormalization", "SpectralNormalization",
    "Flatten", "Reshape", "Permute", "RepeatVector",
    "Cropping1D", "Cropping2D", "Cropping3D",
    "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "UpSampling1D", "UpSampling2D", "UpSampling3D",
    "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot",
    "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
    "GaussianDropout", "GaussianNoise", "AlphaDropout",
    "LSTM", "GRU", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Bidirectional", "TimeDistributed",
    "Attention", "AdditiveAttention", "MultiHeadAttention", "GroupQueryAttention",
}
# fmt: on

_CELL = "cells are made by LSTM, GRU and SimpleRNN"
_CODE = "it holds code, and an architecture holds none: write a network.py"
LEFT_OUT = {
    "EinsumDense": "its shapes come from an equation: use Dense, or write a network.py",
    "FlaxLayer": "it needs JAX",
    "GRUCell": _CELL,
    "InputLayer": "the document's `input` is the input",
    "InputSpec": "it is no layer",
    "JaxLayer": "it needs JAX",
    "LSTMCell": _CELL,
    "Lambda": _CODE,
    "Layer": "it is the base of all layers",
    "RNN": _CELL,
    "ReversibleEmbedding": "it is called a second time, backwards; a graph node is called once",
    "SimpleRNNCell": _CELL,
    "StackedRNNCells": _CELL,
    "TFSMLayer": _CODE,
    "TorchModuleWrapper": _CODE,
    "Wrapper": "it is the base of all wrappers",
}
PREPROCESSING = "preprocessing belongs to transform.py, where it is done once and is the same in training and serving"

FIXED = {
    "backward_layer": "both directions have the same layer",
    "attention_axes": "attention is over every axis but the last",
    "data_format": "tensors are always channels last",
    "dtype": "the training decides the precision",
    "flash_attention": "the backend chooses",
    "gptq_unpacked_column_size": "compression comes after training",
    "lora_alpha": "weights are always trained whole",
    "lora_rank": "weights are always trained whole",
    "name": "the node's name is the layer's",
    "noise_shape": "use SpatialDropout1D, 2D or 3D",
    "quantization_config": "compression comes after training",
    "renorm": "it is not repeatable",
    "renorm_clipping": "it is not repeatable",
    "renorm_momentum": "it is not repeatable",
    "return_state": "a node has one output",
    "stateful": "batches do not follow one another",
    "synchronized": "the training decides how it is distributed",
    "use_cudnn": "the backend chooses",
    "weights": "weights are trained, not written down",
}
"""Attributes that nobody may set, and why."""

SPECIAL: dict[tuple[str, str], Kind] = {
    ("Conv1D", "padding"): CAUSAL,
    ("UpSampling1D", "size"): COUNT,
    ("Dot", "axes"): {"kind": "integers", "one": True, "length": 2},
    ("GaussianNoise", "stddev"): {"kind": "number", "min": 0, "max": 1},
    ("GroupNormalization", "groups"): {"kind": "integer", "min": -1},
    ("Rescaling", "offset"): NUMBERS,
    ("Rescaling", "scale"): NUMBERS,
    ("Reshape", "target_shape"): {"kind": "integers", "min": -1},
    ("ReLU", "threshold"): NOT_NEGATIVE,
    **{(name, "axis"): AXES for name in ("LayerNormalization", "RMSNormalization", "UnitNormalization", "Softmax")},
    **{(f"{name}{rank}D", "padding"): EDGES for name in ("ZeroPadding",) for rank in (1, 2, 3)},
}
KINDS: dict[str, Kind] = {
    **dict.fromkeys(
        ["units", "filters", "input_dim", "output_dim", "n", "depth_multiplier", "groups", "power_iterations"], COUNT
    ),
    **dict.fromkeys(
        ["num_heads", "key_dim", "value_dim", "head_dim", "num_query_heads", "num_key_value_heads", "sliding_window"],
        COUNT,
    ),
    **dict.fromkeys(["kernel_size", "pool_size", "strides", "dilation_rate", "size", "output_size"], WINDOW),
    **dict.fromkeys(["rate", "dropout", "recurrent_dropout", "momentum"], SHARE),
    **dict.fromkeys(["l1", "l2", "negative_slope", "max_value", "min_value"], NOT_NEGATIVE),
    **dict.fromkeys(["alpha", "mask_value"], NUMBER),
    **dict.fromkeys(
        ["use_bias", "center", "scale", "keepdims", "mask_zero", "return_sequences", "go_backwards"], BOOLEAN
    ),
    **dict.fromkeys(["unroll", "unit_forget_bias", "reset_after", "use_scale", "normalize", "use_gate"], BOOLEAN),
    "trainable": BOOLEAN,
    "activation": {"kind": "activation"},
    "axis": AXIS,
    "cropping": EDGES,
    "dims": {"kind": "integers", "min": 1},
    "epsilon": {"kind": "number", "above": 0},
    "interpolation": choice("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"),
    "layer": LAYER,
    "merge_mode": choice("concat", "sum", "mul", "ave"),
    "output_padding": {"kind": "sizes", "min": 0},
    "output_shape": {"kind": "integers", "one": True, "min": 1},
    "padding": PADDING,
    "recurrent_activation": {"kind": "activation"},
    "score_mode": choice("dot", "concat"),
    "seed": SEED,
    "shared_axes": {"kind": "integers", "min": 1},
}
SUFFIXES = {"initializer": "initializer", "regularizer": "regularizer", "constraint": "constraint"}

OBJECTS: dict[str, Kind] = {
    **dict.fromkeys(["minval", "maxval", "mean", "value", "gain", "factor"], NUMBER),
    **dict.fromkeys(["l1", "l2", "stddev", "max_value", "min_value"], NOT_NEGATIVE),
    "axis": AXES,
    "distribution": choice("truncated_normal", "untruncated_normal", "uniform"),
    "mode": choice("fan_in", "fan_out", "fan_avg"),
    "rate": {"kind": "number", "min": 0, "max": 1},
    "scale": {"kind": "number", "above": 0},
    "seed": SEED,
}
"""Attributes of initializers, regularizers and constraints."""

INITIALIZERS = ["Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "LecunNormal"]
INITIALIZERS += ["LecunUniform", "Ones", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal"]
INITIALIZERS += ["VarianceScaling", "Zeros"]
REGULARIZERS = ["L1", "L1L2", "L2", "OrthogonalRegularizer"]
CONSTRAINTS = ["MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"]
OBJECTS_FIXED = {"input_axes", "output_axes"}
NO_ACTIVATIONS = {"glu", "threshold", "get", "serialize", "deserialize"}
"""``glu`` halves the last axis, ``threshold`` needs arguments; the rest are no activations."""


def kind_of(layer: str, attribute: str) -> Kind | None:
    """Return what an attribute of a layer may be; None when nobody has decided."""
    found = SPECIAL.get((layer, attribute)) or KINDS.get(attribute) or _by_suffix(attribute)
    if found is None or found["kind"] not in ("sizes", "edges"):
        return found
    rank = re.search(r"([123])D", layer)
    return {**found, "rank": int(rank[1])} if rank else None


def object_kind(name: str, attribute: str) -> Kind:
    """Return what an attribute of an initializer, regularizer or constraint may be."""
    return choice("rows", "columns") if (name, attribute) == ("OrthogonalRegularizer", "mode") else OBJECTS[attribute]


def _by_suffix(attribute: str) -> Kind | None:
    suffix = attribute.rpartition("_")[2]
    return {"kind": suffix} if suffix in SUFFIXES else None
