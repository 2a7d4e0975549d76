"""Writes ``layers.json``, what is known of Keras's layers without importing Keras.

Names, defaults and what is required come from Keras's own signatures; what a value may be Keras does not say in a form
that can be read: that is ``kinds.py``. A layer or an attribute that nobody has decided on is an error here, so that a
new Keras shows up in the test that generates the file again. Run ``python -m airlock.model.architecture.generate``.
"""

import inspect
import json
from pathlib import Path
from typing import Any

from airlock.model.architecture import kinds

PATH = Path(__file__).parent / "layers.json"


def generate() -> dict[str, Any]:
    """Return the catalogue of the installed Keras.

    :raises LookupError: a layer or an attribute is new to ``kinds.py``.
    """
    from airlock.model.backend import load_keras

    keras = load_keras()
    classes = dict(inspect.getmembers(keras.layers, inspect.isclass))
    aliases = {name: kind.__name__ for name, kind in classes.items() if kind.__name__ in classes}
    aliases = {name: real for name, real in aliases.items() if name != real}
    known = {name: kind for name, kind in classes.items() if name not in aliases}
    return {
        "layers": {name: _layer(name, known[name]) for name in sorted(kinds.LAYERS)},
        "aliases": aliases,
        "left_out": {name: _reason(name, known[name]) for name in sorted(known.keys() - kinds.LAYERS)},
        "fixed": kinds.FIXED,
        "activations": _activations(keras.activations),
        "initializer": _objects(keras.initializers, kinds.INITIALIZERS),
        "regularizer": _objects(keras.regularizers, kinds.REGULARIZERS),
        "constraint": _objects(keras.constraints, kinds.CONSTRAINTS),
    }


def _layer(name: str, kind: type) -> dict[str, Any]:
    declared = inspect.signature(kind).parameters
    given = {each: it for each, it in declared.items() if it.kind is not inspect.Parameter.VAR_KEYWORD}
    found = {}
    for attribute, parameter in given.items():
        if attribute not in kinds.FIXED:
            found[attribute] = _attribute(kinds.kind_of(name, attribute), f"{name}.{attribute}", parameter)
    if len(given) < len(declared):
        found["trainable"] = {**kinds.BOOLEAN, "default": True}
    return found


def _attribute(kind: dict[str, Any] | None, name: str, parameter: inspect.Parameter) -> dict[str, Any]:
    if kind is None:
        raise LookupError(f"Nobody has decided what {name} may be: add it to kinds.py.")
    if parameter.default is inspect.Parameter.empty:
        return {**kind, "required": True}
    return {**kind, "default": parameter.default}


def _reason(name: str, kind: type) -> str:
    if ".preprocessing." in kind.__module__:
        return kinds.PREPROCESSING
    if name not in kinds.LEFT_OUT:
        raise LookupError(f"Nobody has decided about the layer {name}: add it to LAYERS or LEFT_OUT of kinds.py.")
    return kinds.LEFT_OUT[name]


def _activations(module: Any) -> list[str]:
    functions = inspect.getmembers(module, inspect.isfunction)
    return [name for name, _ in functions if name not in kinds.NO_ACTIVATIONS]


def _objects(module: Any, names: list[str]) -> dict[str, Any]:
    found = {}
    for name in names:
        kind = getattr(module, name)
        also = [each for each, it in inspect.getmembers(module, inspect.isclass) if it is kind and each != name]
        declared = inspect.signature(kind).parameters.values()
        attributes = {
            each.name: _attribute(kinds.object_kind(name, each.name), f"{name}.{each.name}", each)
            for each in declared
            if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and each.name not in kinds.OBJECTS_FIXED
        }
        found[name] = {"also": also, "attributes": attributes}
    return found


def text() -> str:
    """Return the catalogue as it lies in the file, an attribute a line."""
    return json.dumps(generate(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
