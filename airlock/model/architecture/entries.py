"""Reads the entries of ``nodes:``: ``- conv: {Conv2D: {filters: 8}, inputs: [a, b], after: a}``."""

from typing import Any

import msgspec

from airlock.model.architecture.document import INPUT
from airlock.model.architecture.problems import Problem
from airlock.model.architecture.values import named

NAME_CHARACTERS = "letters, digits, - and _, beginning with a letter"
KEYS = ("inputs", "after")
SYNTAX = "write `- name: Layer` or `- name: {Layer: {attribute: value}, inputs: [node]}`"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What one file says about one node.

    :param layer: its class; empty when the file changes only how the node is wired.
    :param attributes: those given; a ``null`` in a file that extends another takes the attribute back.
    :param inputs: given names; None when the file does not say.
    :param after: put the node behind this one, instead of at the end or where it was.
    :param removed: the node is taken out.
    """

    name: str
    file: str
    layer: str = ""
    attributes: dict[str, Any] = {}
    inputs: tuple[str, ...] | None = None
    after: str = ""
    removed: bool = False


def read_entries(nodes: Any, file: str) -> tuple[list[Entry], list[Problem]]:
    """Read a file's ``nodes``; what cannot be read is a problem, and the rest goes on."""
    if not isinstance(nodes, list):
        return [], [Problem(file, "nodes", f"nodes is no list; {SYNTAX}")]
    entries: list[Entry] = []
    problems: list[Problem] = []
    for number, item in enumerate(nodes, start=1):
        if isinstance(item, dict) and len(item) == 1:
            name, value = next(iter(item.items()))
            found = _read(name, value, file)
            entries.append(found) if isinstance(found, Entry) else problems.append(Problem(file, name, found))
        else:
            problems.append(Problem(file, f"node {number}", f"is not one name and its layer; {SYNTAX}"))
    names = [entry.name for entry in entries]
    problems += [
        Problem(file, name, "the name is given to two nodes") for name in dict.fromkeys(names) if names.count(name) > 1
    ]
    return entries, problems


def _read(name: str, value: Any, file: str) -> Entry | str:
    if name == INPUT:
        return f"{INPUT} is the name of the document's input: choose another"
    if not is_name(name):
        return f"a name has {NAME_CHARACTERS}"
    if value is None:
        return Entry(name=name, file=file, removed=True)
    if isinstance(value, str):
        return Entry(name=name, file=file, layer=value)
    if not isinstance(value, dict):
        return f"is no layer; {SYNTAX}"
    return _wired(name, value, file)


def _wired(name: str, value: dict[str, Any], file: str) -> Entry | str:
    layers = {key: each for key, each in value.items() if key not in KEYS}
    if len(layers) > 1:
        return f"has two layers, {' and '.join(layers)}: attributes belong below the layer's name; {SYNTAX}"
    layer, attributes = (named(layers) if layers else ("", {})) or (None, {})
    if layer is None:
        return f"the attributes of {next(iter(layers))} are no mapping; {SYNTAX}"
    inputs = value.get("inputs")
    inputs = [inputs] if isinstance(inputs, str) else inputs
    if inputs is not None and not (
        isinstance(inputs, list) and inputs and all(isinstance(each, str) for each in inputs)
    ):
        return "inputs is a node's name or a list of them"
    if not isinstance(value.get("after", ""), str):
        return "after is a node's name"
    return Entry(
        name=name,
        file=file,
        layer=layer,
        attributes=attributes,
        inputs=None if inputs is None else tuple(inputs),
        after=value.get("after", ""),
    )


def is_name(name: str) -> bool:
    """Whether a node may be called so: Keras, ONNX and the patterns of overrides take it as it is."""
    return name.isascii() and name[:1].isalpha() and name.replace("_", "").replace("-", "").isalnum()
