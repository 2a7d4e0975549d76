"""Convolutions and pooling, channels last.

Sizes follow Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016), with the floors and
ceilings of ``keras.src.ops.operation_utils``.
"""

from airlock.model.architecture.catalogue import Layer
from airlock.model.architecture.shapes.rules import Made, Misfit, Rule, Tensor, product, spatial


def windowed(layer: Layer, sizes: tuple[int, ...], windows: tuple[int, ...]) -> tuple[int, ...]:
    """Return how often a window fits, on each axis.

    :raises Misfit: it does not fit once.
    """
    strides = layer.sizes("strides") if layer["strides"] is not None else windows
    if layer["padding"] in ("same", "causal"):
        return tuple(-(-size // stride) for size, stride in zip(sizes, strides, strict=True))
    if any(size < window for size, window in zip(sizes, windows, strict=True)):
        raise Misfit(
            f"{layer.kind} has a window of {list(windows)}, larger than its input {list(sizes)}: nothing is left"
        )
    return tuple((size - window) // stride + 1 for size, window, stride in zip(sizes, windows, strides, strict=True))


def dilated(layer: Layer) -> tuple[int, ...]:
    """Return a kernel's sizes with the holes that dilation makes."""
    if max(layer.sizes("strides")) > 1 and max(layer.sizes("dilation_rate")) > 1:
        raise Misfit(f"{layer.kind} has strides and dilation_rate above 1: choose one")
    pairs = zip(layer.sizes("kernel_size"), layer.sizes("dilation_rate"), strict=True)
    return tuple((size - 1) * rate + 1 for size, rate in pairs)


def convolution(layer: Layer, inputs: list[Tensor]) -> Made:
    *sizes, channels = inputs[0].shape
    filters, groups = layer["filters"], layer["groups"]
    for name, count in (("filters", filters), ("channels of its input", channels)):
        if count % groups:
            raise Misfit(f"{layer.kind} has {groups} groups, and {count} {name}: not a multiple")
    weights = product(layer.sizes("kernel_size")) * channels // groups * filters + filters * layer["use_bias"]
    return Made((*windowed(layer, tuple(sizes), dilated(layer)), filters), trainable=weights)


def transposed(layer: Layer, inputs: list[Tensor]) -> Made:
    if max(layer.sizes("dilation_rate")) > 1:
        raise Misfit(f"{layer.kind} has a dilation_rate above 1: TensorFlow does not compute that on a CPU")
    *sizes, channels = inputs[0].shape
    filters, strides = layer["filters"], layer.sizes("strides")
    padding = layer.sizes("output_padding") if layer["output_padding"] is not None else (None,) * len(sizes)
    if any(more is not None and more >= stride for more, stride in zip(padding, strides, strict=True)):
        raise Misfit(f"{layer.kind} has an output_padding of {list(padding)}, not below its strides {list(strides)}")
    grown = zip(sizes, dilated(layer), strides, padding, strict=True)
    weights = product(layer.sizes("kernel_size")) * channels * filters + filters * layer["use_bias"]
    return Made((*(_grown(layer["padding"], *each) for each in grown), filters), trainable=weights)


def _grown(padding: str, size: int, window: int, stride: int, more: int | None) -> int:
    if padding == "same":
        return size * stride if more is None else (size - 1) * stride + window % 2 + more
    return (size - 1) * stride + window + (max(window, stride) - window if more is None else more)


def depthwise(layer: Layer, inputs: list[Tensor]) -> Made:
    *sizes, channels = inputs[0].shape
    _require_square(layer)
    made = channels * layer["depth_multiplier"]
    weights = product(layer.sizes("kernel_size")) * made + made * layer["use_bias"]
    return Made((*windowed(layer, tuple(sizes), dilated(layer)), made), trainable=weights)


def separable(layer: Layer, inputs: list[Tensor]) -> Made:
    *sizes, channels = inputs[0].shape
    _require_square(layer)
    between, filters = channels * layer["depth_multiplier"], layer["filters"]
    weights = product(layer.sizes("kernel_size")) * between + between * filters + filters * layer["use_bias"]
    return Made((*windowed(layer, tuple(sizes), dilated(layer)), filters), trainable=weights)


def _require_square(layer: Layer) -> None:
    if len(set(layer.sizes("strides"))) > 1:
        raise Misfit(f"{layer.kind} has the strides {layer['strides']}: TensorFlow needs the same on every axis")


def pooling(layer: Layer, inputs: list[Tensor]) -> Made:
    *sizes, channels = inputs[0].shape
    return Made((*windowed(layer, tuple(sizes), layer.sizes("pool_size")), channels))


def global_pooling(layer: Layer, inputs: list[Tensor]) -> Made:
    *sizes, channels = inputs[0].shape
    return Made((*([1] * len(sizes) if layer["keepdims"] else []), channels))


def adaptive_pooling(layer: Layer, inputs: list[Tensor]) -> Made:
    *sizes, channels = inputs[0].shape
    wanted = layer.sizes("output_size")
    if "Max" in layer.kind:
        for size, made in zip(sizes, wanted, strict=True):
            # Keras 3.15 slides a second window, one longer than ceil(size / made), along every axis; where that does
            # not fit, TensorFlow divides by zero, and the process is gone.
            if -(-size // made) + 1 > size:
                raise Misfit(
                    f"{layer.kind} pools an axis of {size} to {made}: TensorFlow does not compute that on a CPU; "
                    "take a global or an average pooling"
                )
    return Made((*wanted, channels))


RULES = {
    **{f"Conv{rank}D": Rule(convolution, reads=spatial(rank)) for rank in (1, 2, 3)},
    **{f"Conv{rank}DTranspose": Rule(transposed, reads=spatial(rank)) for rank in (1, 2, 3)},
    **{f"SeparableConv{rank}D": Rule(separable, reads=spatial(rank)) for rank in (1, 2)},
    **{f"DepthwiseConv{rank}D": Rule(depthwise, reads=spatial(rank)) for rank in (1, 2)},
    **{
        f"{what}Pooling{rank}D": Rule(pooling, reads=spatial(rank)) for what in ("Max", "Average") for rank in (1, 2, 3)
    },
    **{
        f"Adaptive{what}Pooling{rank}D": Rule(adaptive_pooling, reads=spatial(rank))
        for what in ("Max", "Average")
        for rank in (1, 2, 3)
    },
    **{f"GlobalMaxPooling{rank}D": Rule(global_pooling, reads=spatial(rank)) for rank in (1, 2, 3)},
    **{f"GlobalAveragePooling{rank}D": Rule(global_pooling, reads=spatial(rank), integers=True) for rank in (1, 2, 3)},
}
