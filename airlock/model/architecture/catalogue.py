"""What is known of Keras's layers, read from ``layers.json``; and a layer whose attributes were held to it."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from airlock.model.architecture.problems import meant

Spec = dict[str, Any]
"""What one attribute may be: ``kind``, its range, ``default`` or ``required``."""


class ObjectSpec(msgspec.Struct, frozen=True):
    """An initializer, regularizer or constraint.

    :param also: its other names.
    """

    also: list[str]
    attributes: dict[str, Spec]


class Catalogue(msgspec.Struct, frozen=True):
    """The layers of one Keras.

    :param aliases: other names of layers.
    :param left_out: layers an architecture cannot have, and why.
    :param fixed: attributes nobody may set, and why.
    """

    layers: dict[str, dict[str, Spec]]
    aliases: dict[str, str]
    left_out: dict[str, str]
    fixed: dict[str, str]
    activations: list[str]
    initializer: dict[str, ObjectSpec]
    regularizer: dict[str, ObjectSpec]
    constraint: dict[str, ObjectSpec]

    def objects(self, kind: str) -> dict[str, ObjectSpec]:
        """Return initializers, regularizers or constraints by every name they have."""
        found: Mapping[str, ObjectSpec] = getattr(self, kind)
        return {name: spec for real, spec in found.items() for name in (real, *spec.also)}

    def why_not(self, layer: str) -> str:
        """Return why there is no such layer, with the way out."""
        if layer in self.aliases:
            return f"{layer} is another name: write {self.aliases[layer]}"
        if layer in self.left_out:
            return f"{layer} cannot be used: {self.left_out[layer]}"
        return f"Keras has no layer {layer}{meant(layer, [*self.layers, *self.aliases])}"


@lru_cache
def catalogue() -> Catalogue:
    """Return the catalogue (some milliseconds, once)."""
    return msgspec.json.decode((Path(__file__).parent / "layers.json").read_bytes(), type=Catalogue)


class Layer(msgspec.Struct, frozen=True):
    """A layer with valid attributes.

    :param kind: its class in ``keras.layers``.
    :param attributes: what was given; nested layers are :class:`Layer`.
    """

    kind: str
    attributes: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        """An attribute, or its default."""
        return self.attributes.get(name, catalogue().layers[self.kind][name].get("default"))

    def sizes(self, name: str) -> tuple[int, ...]:
        """An attribute of the kind ``sizes``, one for each axis."""
        value = self[name]
        rank: int = catalogue().layers[self.kind][name].get("rank", 1)
        return (value,) * rank if isinstance(value, int) else tuple(value)

    def edges(self, name: str) -> tuple[tuple[int, int], ...]:
        """An attribute of the kind ``edges``: before and after, for each axis."""
        value = self[name]
        rank: int = catalogue().layers[self.kind][name]["rank"]
        if isinstance(value, int):
            return ((value, value),) * rank
        pairs = [value] if rank == 1 else value
        return tuple((pair, pair) if isinstance(pair, int) else (pair[0], pair[1]) for pair in pairs)
