"""Holds a layer's attributes to what Keras takes: unknown, missing, of the wrong type, out of range."""

from collections.abc import Mapping
from typing import Any

from airlock.model.architecture.catalogue import Layer, Spec, catalogue
from airlock.model.architecture.expressions import UNKNOWN
from airlock.model.architecture.problems import meant
from airlock.model.architecture.values import fault, named, object_faults, shown

WRAPPED = {
    "Bidirectional": ("LSTM", "GRU", "SimpleRNN"),
    "SpectralNormalization": ("Dense", "Conv1D", "Conv2D", "Conv3D"),
}
"""Wrappers that take only some layers."""


class Reading:
    """One layer's attributes, read once; what is wrong with them is in ``faults``.

    :param kind: the layer's class.
    :param given: attributes after substitution; :data:`UNKNOWN` ones are not looked at.
    :param written: the same as the document has them, for messages.
    """

    def __init__(self, kind: str, given: Mapping[str, Any], written: Mapping[str, Any] | None = None) -> None:
        self.kind = kind
        self.written = written or given
        self.faults: list[str] = []
        self.complete = True
        self._known = catalogue().layers.get(kind)
        if self._known is None:
            self.faults.append(catalogue().why_not(kind))
            self._known = {}
        else:
            self._require(given)
        self.layer = Layer(kind, {name: self._value(name, value) for name, value in given.items()})

    @property
    def usable(self) -> bool:
        """Whether shapes can be computed: everything is right, and nothing is unknown yet."""
        return self.complete and not self.faults

    def _require(self, given: Mapping[str, Any]) -> None:
        for name, spec in (self._known or {}).items():
            if spec.get("required") and name not in given:
                self.faults.append(f"{self.kind} needs {name}")

    def _value(self, name: str, value: Any) -> Any:
        if not self._known:
            return value
        if name not in self._known:
            self.faults.append(self._no_such(name))
        elif value is UNKNOWN:
            self.complete = False
        elif self._known[name]["kind"] == "layer":
            return self._nested(name, value)
        else:
            self._hold(name, self._known[name], value)
        return value

    def _no_such(self, name: str) -> str:
        if name in catalogue().fixed:
            return f"{name} cannot be set: {catalogue().fixed[name]}"
        return f"{self.kind} has no attribute {name}{meant(name, self._known or ())}"

    def _hold(self, name: str, spec: Spec, value: Any) -> None:
        if wanted := fault(spec, value):
            origin = "" if self.written.get(name) == value else f" (from {self.written.get(name)})"
            self.faults.append(f"{name} is {shown(value)}{origin}; it must be {wanted}")
        elif value is not None and spec["kind"] in ("initializer", "regularizer", "constraint"):
            self.faults += [f"{name}: {each}" for each in object_faults(spec["kind"], *(named(value) or ("", {})))]

    def _nested(self, name: str, value: Any) -> Any:
        found = named(value)
        if found is None:
            self.faults.append(f"{name} is {shown(value)}; it must be a layer: Name, or {{Name: {{attribute: …}}}}")
            return value
        inner = Reading(*found)
        self.faults += [f"{name}: {each}" for each in inner.faults]
        allowed = WRAPPED.get(self.kind)
        if allowed and not inner.faults and found[0] not in allowed:
            self.faults.append(f"{name} is {found[0]}; {self.kind} wraps {', '.join(allowed)}")
        return inner.layer
