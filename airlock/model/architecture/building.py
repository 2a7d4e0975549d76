"""Builds an architecture into a functional Keras model, on any backend. The one place that needs Keras."""

from collections.abc import Mapping
from typing import Any

from airlock.model.architecture.catalogue import Layer, catalogue
from airlock.model.architecture.checking import Checked, Report, check
from airlock.model.architecture.document import INPUT, Architecture
from airlock.model.architecture.values import named

SEPARATE = ("MultiHeadAttention", "GroupQueryAttention")
"""Layers that take query, value and key as arguments of their own, not as a list."""


def build(architecture: Architecture, parameters: Mapping[str, Any], classes: int) -> Any:
    """Return a new functional ``keras.Model`` with random weights, not compiled; its layers have the nodes' names.

    The last layer computes in float32 whatever the precision policy says: a softmax in half precision loses the small
    probabilities, and what follows relies on float32.

    :raises ArchitectureError: it does not pass :func:`~airlock.model.architecture.checking.check`.
    """
    from airlock.model.backend import load_keras

    keras = load_keras()
    report = check(architecture, parameters, classes)
    tensors = {INPUT: keras.Input(architecture.shape, dtype=architecture.dtype, name=INPUT)}
    for node in _in_order(report):
        layer = _layer(keras, node, report)
        inputs = [tensors[name] for name in node.inputs]
        tensors[node.name] = layer(*inputs) if node.layer.kind in SEPARATE or len(inputs) == 1 else layer(inputs)
    return keras.Model(tensors[INPUT], tensors[architecture.output], name="network")


def _in_order(report: Report) -> list[Checked]:
    """Return the nodes as the document has them where that works: random weights are drawn in this order."""
    places = {node.name: place for place, node in enumerate(report.architecture.nodes)}
    waiting = sorted(report.nodes, key=lambda node: places[node.name])
    done = {INPUT}
    ordered: list[Checked] = []
    while waiting:
        node = next(node for node in waiting if done.issuperset(node.inputs))
        waiting.remove(node)
        done.add(node.name)
        ordered.append(node)
    return ordered


def _layer(keras: Any, node: Checked, report: Report) -> Any:
    precision = {"dtype": "float32"} if node.name == report.architecture.output else {}
    return make(keras, node.layer, {"name": node.name, **precision})


def make(keras: Any, layer: Layer, more: Mapping[str, Any]) -> Any:
    """Return a layer of Keras, with layers, initializers, regularizers and constraints nested in it.

    :param more: arguments beyond the layer's attributes, such as its name.
    """
    known = catalogue().layers[layer.kind]
    values = {name: _value(keras, known[name]["kind"], value) for name, value in layer.attributes.items()}
    return getattr(keras.layers, layer.kind)(**values, **more)


def _value(keras: Any, kind: str, value: Any) -> Any:
    if isinstance(value, Layer):
        return make(keras, value, {})
    if kind in ("initializer", "regularizer", "constraint") and value is not None:
        name, attributes = named(value) or ("", {})
        module = getattr(keras, f"{kind}s")
        return getattr(module, name)(**{each: _tuples(it) for each, it in attributes.items()})
    return _tuples(value)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value
