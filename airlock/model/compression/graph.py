"""Builds a network again with other layers in it: by Keras's own cloning, which infers every shape anew."""

from collections.abc import Callable
from typing import Any

from airlock.errors import UserError
from airlock.model.backend import load_keras

Call = Callable[..., Any]


def functional(model: Any) -> Any:
    """Return a model as a graph of the same layers, whatever it was written as.

    :raises UserError: it is none that can be one.
    """
    keras = load_keras()
    try:
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    except (AttributeError, ValueError, TypeError) as error:
        raise UserError(
            f"The model is not a graph of layers: {error}.", hint="Write it as a Sequential or functional model."
        ) from error


def rebuilt(model: Any, layer: Callable[[Any], Any], call: Call | None = None) -> Any:
    """Return a new model with random weights.

    :param model: see :func:`functional`.
    :param layer: gives the layer that takes a layer's place.
    :param call: calls it; by default with the layer's inputs.
    """
    return load_keras().models.clone_model(model, clone_function=layer, call_function=call)


def like(layer: Any, **changes: Any) -> Any:
    """Return a new layer of the same kind and configuration, but for the changes."""
    return type(layer).from_config(layer.get_config() | changes)


def copy_of(model: Any) -> Any:
    """Return a model with weights of its own."""
    graph = functional(model)
    copied = rebuilt(graph, like)
    copied.set_weights(graph.get_weights())
    return copied
