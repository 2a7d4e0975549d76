"""Layers that read several nodes: sums, products, concatenation, attention."""

from airlock.model.architecture.catalogue import Layer
from airlock.model.architecture.shapes.rules import Made, Misfit, Rule, Tensor, axis_of, product

MANY = 99


def elementwise(layer: Layer, inputs: list[Tensor]) -> Made:
    if len({tensor.rank for tensor in inputs}) > 1:
        raise Misfit(_differ(layer, inputs))
    shape = tuple(max(sizes) for sizes in zip(*(tensor.shape for tensor in inputs), strict=True))
    if any(size not in (1, whole) for tensor in inputs for size, whole in zip(tensor.shape, shape, strict=True)):
        raise Misfit(_differ(layer, inputs))
    return Made(shape)


def concatenate(layer: Layer, inputs: list[Tensor]) -> Made:
    place = axis_of(layer, layer["axis"], inputs[0])
    others = {tensor.shape[:place] + tensor.shape[place + 1 :] for tensor in inputs}
    if len({tensor.rank for tensor in inputs}) > 1 or len(others) > 1:
        raise Misfit(f"{_differ(layer, inputs)} outside of axis {layer['axis']}")
    shape = list(inputs[0].shape)
    shape[place] = sum(tensor.shape[place] for tensor in inputs)
    return Made(tuple(shape))


def dot(layer: Layer, inputs: list[Tensor]) -> Made:
    axes = layer["axes"]
    pair = [axes, axes] if isinstance(axes, int) else axes
    first, second = (axis_of(layer, axis, tensor) for axis, tensor in zip(pair, inputs, strict=True))
    shapes = [tensor.shape for tensor in inputs]
    if shapes[0][first] != shapes[1][second]:
        raise Misfit(f"{_differ(layer, inputs)} along the axes {axes}")
    rest = [*shapes[0][:first], *shapes[0][first + 1 :], *shapes[1][:second], *shapes[1][second + 1 :]]
    return Made(tuple(rest) or (1,))


def attention(layer: Layer, inputs: list[Tensor]) -> Made:
    query, value, key = inputs[0].shape, inputs[1].shape, inputs[-1 if len(inputs) > 2 else 1].shape
    if query[-1] != key[-1] or value[0] != key[0]:
        raise Misfit(f"{_differ(layer, inputs)}: query and key must agree in features, value and key in steps")
    if layer.kind == "Attention":
        return Made((query[0], value[-1]), trainable=layer["use_scale"] + (layer["score_mode"] == "concat"))
    return Made((query[0], value[-1]), trainable=query[-1] * layer["use_scale"])


def multi_head_attention(layer: Layer, inputs: list[Tensor]) -> Made:
    query, value, key = _heads_inputs(layer, inputs)
    heads, wide, bias = layer["num_heads"], layer["key_dim"], layer["use_bias"]
    value_wide = layer["value_dim"] or wide
    asked = layer["output_shape"]
    made = (query[-1],) if asked is None else (asked,) if isinstance(asked, int) else tuple(asked)
    gate = (query[-1] + bias) * heads * value_wide * layer["use_gate"]
    weights = (query[-1] + key[-1] + 2 * bias) * heads * wide + (value[-1] + bias) * heads * value_wide + gate
    return Made((*query[:-1], *made), trainable=weights + (heads * value_wide + bias) * product(made))


def group_query_attention(layer: Layer, inputs: list[Tensor]) -> Made:
    query, value, key = _heads_inputs(layer, inputs)
    heads, shared, wide, bias = (
        layer[name] for name in ("num_query_heads", "num_key_value_heads", "head_dim", "use_bias")
    )
    if query[-1] != value[-1]:
        raise Misfit(f"{_differ(layer, inputs)}: query and value must agree in features")
    if heads % shared:
        raise Misfit(f"{layer.kind} has {heads} query heads, not a multiple of its {shared} key and value heads")
    reading = (query[-1] + bias) * heads * wide * (1 + layer["use_gate"])
    reading += (key[-1] + value[-1] + 2 * bias) * shared * wide
    return Made(query, trainable=reading + (heads * wide + bias) * query[-1])


def _heads_inputs(layer: Layer, inputs: list[Tensor]) -> list[tuple[int, ...]]:
    query, value, key = inputs[0].shape, inputs[1].shape, inputs[-1 if len(inputs) > 2 else 1].shape
    if value[0] != key[0]:
        raise Misfit(f"{_differ(layer, inputs)}: value and key must agree in steps")
    return [query, value, key]


def _differ(layer: Layer, inputs: list[Tensor]) -> str:
    return f"{layer.kind} reads {' and '.join(map(str, inputs))}, which differ"


QUERIES = Rule(attention, reads="steps, features", inputs=(2, 3))
RULES = {
    **dict.fromkeys(("Add", "Multiply", "Average", "Maximum", "Minimum"), Rule(elementwise, inputs=(2, MANY))),
    "Subtract": Rule(elementwise, inputs=(2, 2)),
    "Concatenate": Rule(concatenate, inputs=(2, MANY)),
    "Dot": Rule(dot, inputs=(2, 2)),
    "Attention": QUERIES,
    "AdditiveAttention": QUERIES,
    "MultiHeadAttention": Rule(multi_head_attention, reads="steps, features", inputs=(2, 3)),
    "GroupQueryAttention": Rule(group_query_attention, reads="steps, features", inputs=(2, 3)),
}
