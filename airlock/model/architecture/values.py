"""Holds one attribute's value to its kind: type, range, and the names Keras knows."""

import json
from collections.abc import Callable
from typing import Any

from airlock.model.architecture.catalogue import Spec, catalogue
from airlock.model.architecture.problems import meant


def fault(spec: Spec, value: Any) -> str:
    """Return what a value must be, when it is not; nothing when it is.

    :param spec: of every kind but ``layer``.
    """
    if value is None:
        return "" if "default" in spec and spec["default"] is None else _wanted(spec)
    return "" if _FITS[spec["kind"]](spec, value) else _wanted(spec) + _near(spec, value)


def shown(value: Any) -> str:
    """Return a value as the document writes it."""
    return json.dumps(value, ensure_ascii=False)


def named(value: Any) -> tuple[str, Any] | None:
    """Read ``Name`` or ``{Name: {attribute: …}}``; nothing when it is neither."""
    if isinstance(value, str):
        return value, {}
    if isinstance(value, dict) and len(value) == 1:
        name, attributes = next(iter(value.items()))
        if attributes is None or isinstance(attributes, dict):
            return name, attributes or {}
    return None


def object_faults(kind: str, name: str, given: dict[str, Any]) -> list[str]:
    """Return what is wrong with an initializer, regularizer or constraint that is known by this name."""
    known = catalogue().objects(kind)[name].attributes
    faults = []
    for attribute, value in given.items():
        if attribute not in known:
            faults.append(f"{name} has no attribute {attribute}{meant(attribute, known)}")
        elif wanted := fault(known[attribute], value):
            faults.append(f"{attribute} of {name} is {shown(value)}; it must be {wanted}")
    return faults


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_range(spec: Spec, value: float) -> bool:
    low = spec.get("min", value) <= value and (spec["above"] < value if "above" in spec else True)
    return low and value <= spec.get("max", value) and (value < spec["below"] if "below" in spec else True)


def _integer(spec: Spec, value: Any) -> bool:
    return _is_integer(value) and _in_range(spec, value)


def _number(spec: Spec, value: Any) -> bool:
    return _is_number(value) and _in_range(spec, value)


def _integers(spec: Spec, value: Any) -> bool:
    if not isinstance(value, list):
        return bool(spec.get("one")) and _integer(spec, value)
    return bool(value) and len(value) == spec.get("length", len(value)) and all(_integer(spec, each) for each in value)


def _numbers(_spec: Spec, value: Any) -> bool:
    return _is_number(value) or (isinstance(value, list) and bool(value) and all(_is_number(each) for each in value))


def _sizes(spec: Spec, value: Any) -> bool:
    if isinstance(value, list):
        return len(value) == spec["rank"] and all(_integer(spec, each) for each in value)
    return _integer(spec, value)


def _edges(spec: Spec, value: Any) -> bool:
    if _is_integer(value):
        return bool(value >= 0)
    if spec["rank"] == 1:
        return _pair(value)
    if not isinstance(value, list) or len(value) != spec["rank"]:
        return False
    return all(_integer({"min": 0}, each) for each in value) or all(_pair(each) for each in value)


def _pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_integer({"min": 0}, each) for each in value)


def _object(spec: Spec, value: Any) -> bool:
    found = named(value)
    return found is not None and found[0] in catalogue().objects(spec["kind"])


_FITS: dict[str, Callable[[Spec, Any], bool]] = {
    "integer": _integer,
    "number": _number,
    "boolean": lambda _, value: isinstance(value, bool),
    "choice": lambda spec, value: value in spec["choices"],
    "activation": lambda _, value: value in catalogue().activations,
    "integers": _integers,
    "numbers": _numbers,
    "sizes": _sizes,
    "edges": _edges,
    "initializer": _object,
    "regularizer": _object,
    "constraint": _object,
}


def _range(spec: Spec) -> str:
    signs = {"min": "≥", "above": ">", "max": "≤", "below": "<"}
    return " and".join(f" {sign} {spec[bound]}" for bound, sign in signs.items() if bound in spec)


def _wanted(spec: Spec) -> str:
    several = f"a list of {spec['length']} of them" if "length" in spec else "a list of them"
    match spec["kind"]:
        case "integer":
            return f"a whole number{_range(spec)}"
        case "number":
            return f"a number{_range(spec)}"
        case "boolean":
            return "true or false"
        case "choice":
            return f"one of {', '.join(spec['choices'])}"
        case "integers":
            return (
                f"a whole number{_range(spec)} or {several}"
                if spec.get("one")
                else f"a list of whole numbers{_range(spec)}"
            )
        case "numbers":
            return "a number or a list of them"
        case "sizes":
            return f"a whole number{_range(spec)} or a list of {spec['rank']} of them"
        case "edges":
            pairs = (
                "a pair of them"
                if spec["rank"] == 1
                else f"a list of {spec['rank']} of them, or of {spec['rank']} pairs"
            )
            return f"a whole number ≥ 0 or {pairs}"
    return f"{'an' if spec['kind'][0] in 'ai' else 'a'} {spec['kind']} of Keras"


def _near(spec: Spec, value: Any) -> str:
    if spec["kind"] == "integer" and isinstance(value, float) and value.is_integer():
        return "; a division that must stay whole is written //"
    if not (found := named(value)):
        return ""
    words = {"choice": spec.get("choices"), "activation": catalogue().activations}
    known = words.get(spec["kind"]) or (
        list(catalogue().objects(spec["kind"])) if spec["kind"] in ("initializer", "regularizer", "constraint") else []
    )
    return meant(found[0], known)
