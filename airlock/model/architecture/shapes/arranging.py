"""Normalization, reshaping, cropping, padding and enlarging."""

from airlock.model.architecture.catalogue import Layer
from airlock.model.architecture.shapes.rules import Made, Misfit, Rule, Tensor, axes_of, axis_of, product, spatial


def batch_normalization(layer: Layer, inputs: list[Tensor]) -> Made:
    size = inputs[0].shape[axis_of(layer, layer["axis"], inputs[0])]
    return Made(inputs[0].shape, trainable=size * (layer["scale"] + layer["center"]), frozen=2 * size)


def layer_normalization(layer: Layer, inputs: list[Tensor]) -> Made:
    size = product(inputs[0].shape[place] for place in axes_of(layer, layer["axis"], inputs[0]))
    return Made(inputs[0].shape, trainable=size * (layer["scale"] + layer["center"]))


def rms_normalization(layer: Layer, inputs: list[Tensor]) -> Made:
    places = axes_of(layer, layer["axis"], inputs[0])
    if sorted(places) != list(range(inputs[0].rank - len(places), inputs[0].rank)):
        raise Misfit(f"RMSNormalization scales along the last axes, and its axis is {layer['axis']}")
    return Made(inputs[0].shape, trainable=product(inputs[0].shape[place] for place in places))


def group_normalization(layer: Layer, inputs: list[Tensor]) -> Made:
    size = inputs[0].shape[axis_of(layer, layer["axis"], inputs[0])]
    groups = size if layer["groups"] == -1 else layer["groups"]
    if groups == 0 or size % groups:
        raise Misfit(
            f"GroupNormalization has {groups} groups, and its input {inputs[0]} has {size} channels: not a multiple"
        )
    return Made(inputs[0].shape, trainable=size * (layer["scale"] + layer["center"]))


def unit_normalization(layer: Layer, inputs: list[Tensor]) -> Made:
    axes_of(layer, layer["axis"], inputs[0])
    return Made(inputs[0].shape)


def flatten(_layer: Layer, inputs: list[Tensor]) -> Made:
    return Made((product(inputs[0].shape),), dtype=inputs[0].dtype)


def reshape(layer: Layer, inputs: list[Tensor]) -> Made:
    target, size = layer["target_shape"], product(inputs[0].shape)
    known = product(each for each in target if each != -1)
    fits = known > 0 and (size % known == 0 if target.count(-1) == 1 else size == known) and target.count(-1) <= 1
    if not fits:
        raise Misfit(f"Reshape cannot make {target} of {inputs[0]}, which has {size} values")
    return Made(tuple(size // known if each == -1 else each for each in target), dtype=inputs[0].dtype)


def permute(layer: Layer, inputs: list[Tensor]) -> Made:
    dims = layer["dims"]
    if sorted(dims) != list(range(1, inputs[0].rank + 1)):
        raise Misfit(f"Permute has the dims {dims}: its input {inputs[0]} has the axes 1 to {inputs[0].rank}")
    return Made(tuple(inputs[0].shape[each - 1] for each in dims), dtype=inputs[0].dtype)


def repeat_vector(layer: Layer, inputs: list[Tensor]) -> Made:
    return Made((layer["n"], *inputs[0].shape))


def cropping(layer: Layer, inputs: list[Tensor]) -> Made:
    *sizes, channels = inputs[0].shape
    left = [size - sum(edge) for size, edge in zip(sizes, layer.edges("cropping"), strict=True)]
    if min(left) < 1:
        raise Misfit(f"{layer.kind} crops {layer['cropping']} of {inputs[0]}: nothing is left")
    return Made((*left, channels))


def zero_padding(layer: Layer, inputs: list[Tensor]) -> Made:
    *sizes, channels = inputs[0].shape
    return Made((*(size + sum(edge) for size, edge in zip(sizes, layer.edges("padding"), strict=True)), channels))


def up_sampling(layer: Layer, inputs: list[Tensor]) -> Made:
    *sizes, channels = inputs[0].shape
    return Made((*(size * times for size, times in zip(sizes, layer.sizes("size"), strict=True)), channels))


RULES = {
    "BatchNormalization": Rule(batch_normalization, integers=True),
    "LayerNormalization": Rule(layer_normalization, integers=True),
    "RMSNormalization": Rule(rms_normalization),
    "GroupNormalization": Rule(group_normalization, integers=True),
    "UnitNormalization": Rule(unit_normalization),
    "Flatten": Rule(flatten, integers=True),
    "Reshape": Rule(reshape, integers=True),
    "Permute": Rule(permute, integers=True),
    "RepeatVector": Rule(repeat_vector, reads="features"),
    **{f"Cropping{rank}D": Rule(cropping, reads=spatial(rank)) for rank in (1, 2, 3)},
    **{f"ZeroPadding{rank}D": Rule(zero_padding, reads=spatial(rank)) for rank in (1, 2, 3)},
    **{f"UpSampling{rank}D": Rule(up_sampling, reads=spatial(rank)) for rank in (1, 2, 3)},
}
