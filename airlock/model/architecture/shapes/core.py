"""Dense layers, embeddings, activations, regularization."""

from airlock.model.architecture.catalogue import Layer
from airlock.model.architecture.shapes.rules import FLOAT, Made, Misfit, Rule, Tensor, axes_of, product, same, spatial


def dense(layer: Layer, inputs: list[Tensor]) -> Made:
    *outer, features = inputs[0].shape
    units = layer["units"]
    return Made((*outer, units), trainable=features * units + units * layer["use_bias"])


def embedding(layer: Layer, inputs: list[Tensor]) -> Made:
    if inputs[0].dtype == FLOAT:
        raise Misfit("Embedding looks up whole numbers, and its input is float32")
    entries, size = layer["input_dim"], layer["output_dim"]
    return Made((*inputs[0].shape, size), trainable=entries * size)


def identity(_layer: Layer, inputs: list[Tensor]) -> Made:
    return Made(inputs[0].shape, dtype=inputs[0].dtype)


def prelu(layer: Layer, inputs: list[Tensor]) -> Made:
    shape = inputs[0].shape
    shared = axes_of(layer, layer["shared_axes"] or [], inputs[0])
    return Made(shape, trainable=product(1 if place in shared else size for place, size in enumerate(shape)))


def softmax(layer: Layer, inputs: list[Tensor]) -> Made:
    axes_of(layer, layer["axis"], inputs[0])
    return Made(inputs[0].shape)


def rescaling(layer: Layer, inputs: list[Tensor]) -> Made:
    for name in ("scale", "offset"):
        value = layer[name]
        if isinstance(value, list) and len(value) not in (1, inputs[0].shape[-1]):
            raise Misfit(
                f"{name} of Rescaling has {len(value)} numbers, and the last axis of its input {inputs[0]} differs"
            )
    return Made(inputs[0].shape)


RULES = {
    "Dense": Rule(dense, reads="…, features", integers=True),
    "Embedding": Rule(embedding, integers=True),
    "Identity": Rule(identity, integers=True),
    "Masking": Rule(same, reads="…, steps, features"),
    "Rescaling": Rule(rescaling, integers=True),
    "PReLU": Rule(prelu),
    "Softmax": Rule(softmax),
    **dict.fromkeys(("Activation", "ActivityRegularization", "ReLU", "LeakyReLU", "ELU"), Rule(same)),
    **dict.fromkeys(("Dropout", "GaussianDropout", "GaussianNoise", "AlphaDropout"), Rule(same)),
    **{f"SpatialDropout{rank}D": Rule(same, reads=spatial(rank)) for rank in (1, 2, 3)},
}
