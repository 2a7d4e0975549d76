"""``net["conv*"].filters``: parameters that change attributes or learning rates of all nodes a pattern fits.

Patterns are those of ``fnmatch``. The order of the keys decides nothing: two patterns that give one node different
values contradict each other.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from airlock.errors import UserError
from airlock.model.architecture.catalogue import catalogue
from airlock.model.architecture.document import Architecture, Node
from airlock.model.architecture.problems import ArchitectureError, Problem, meant
from airlock.model.architecture.values import named, shown

RATE = "lr"
PATH = re.compile(r"""net\[(?P<quote>["'])(?P<pattern>[\w\-*?\[\]!]+)(?P=quote)\](?P<attributes>(\.[A-Za-z_]\w*)+)""")
HINT = 'Write it like net["conv*"].filters, or net["conv*"].lr for a factor on the learning rate.'


class Path(msgspec.Struct, frozen=True):
    """One key, taken apart.

    :param key: as it was written.
    :param attributes: one name, or several that lead into nested layers.
    """

    key: str
    pattern: str
    attributes: tuple[str, ...]

    def fits(self, name: str) -> bool:
        """Whether it means the node of this name."""
        return fnmatchcase(name, self.pattern)


class Given(msgspec.Struct, frozen=True):
    """A run's parameters, taken apart.

    :param plain: what the training, the architecture's ``${…}`` and a ``network.py`` read.
    :param attributes: overrides of attributes, by key.
    :param multipliers: factors on the learning rate, by pattern.
    """

    plain: dict[str, Any]
    attributes: dict[str, Any]
    multipliers: dict[str, float]


def read_path(key: str) -> Path:
    """Take a key such as ``net["conv*"].filters`` apart.

    :raises UserError: it is none.
    """
    found = PATH.fullmatch(key)
    if not found:
        raise UserError(f"The parameter {key} is no path into the network.", hint=HINT)
    return Path(key, found["pattern"], tuple(found["attributes"][1:].split(".")))


def split_overrides(parameters: Mapping[str, Any]) -> Given:
    """Tell plain parameters, overrides of attributes and factors on the learning rate apart.

    :raises UserError: a key that begins like a path is none, or a factor is no number of at least 0.
    """
    given = Given({}, {}, {})
    for key, value in parameters.items():
        if not re.match(r"net\s*[\[.]", key):
            given.plain[key] = value
        elif (path := read_path(key)).attributes != (RATE,):
            given.attributes[key] = value
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise UserError(f"{key} is {value!r}.", hint="A factor on the learning rate is a number ≥ 0; 0 freezes.")
        else:
            given.multipliers[path.pattern] = float(value)
    return given


def rates(multipliers: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """Return the factor on the learning rate of every layer that has one.

    :param multipliers: by pattern, from :func:`split_overrides`.
    :param names: the layers' names, in an architecture or a model of Keras.
    :raises UserError: a pattern fits none, or two give a layer different factors.
    """
    found: dict[str, float] = {}
    for pattern, factor in multipliers.items():
        fitting = [name for name in names if fnmatchcase(name, pattern)]
        if not fitting:
            raise UserError(f'net["{pattern}"].{RATE} fits no layer{meant(pattern, names)}.', hint=HINT)
        for name in fitting:
            if found.setdefault(name, factor) != factor:
                raise UserError(f"Two patterns give {name} the {RATE} {found[name]:g} and {factor:g}.", hint=HINT)
    return found


def override(architecture: Architecture, values: Mapping[str, Any]) -> Architecture:
    """Return an architecture with attributes changed by pattern.

    :param values: by key, from :func:`split_overrides`.
    :raises ArchitectureError: a pattern fits no node, an attribute is not the layer's, or two keys contradict.
    """
    changed, problems = apply(architecture, values, {})
    if problems:
        raise ArchitectureError(architecture.name, problems)
    return changed


def apply(
    architecture: Architecture, values: Mapping[str, Any], multipliers: Mapping[str, float]
) -> tuple[Architecture, list[Problem]]:
    """:func:`override` and :func:`rates`, with every problem instead of an error."""
    problems: list[Problem] = []
    set_by: dict[tuple[str, ...], str] = {}
    changed = {node.name: node.attributes for node in architecture.nodes}
    for key, value in values.items():
        path = read_path(key)
        fitting = [node for node in architecture.nodes if path.fits(node.name)]
        problems += [] if fitting else [_no_node(architecture, path)]
        for node in fitting:
            place = (node.name, *path.attributes)
            other = set_by.setdefault(place, key)
            reason = f"contradicts {other}" if values[other] != value else why_not(node, path.attributes)
            if reason:
                problems.append(Problem(node.file, node.name, f"{key} = {shown(value)}: {reason}"))
            else:
                changed[node.name] = _with(changed[node.name], path.attributes, value)
    try:
        rates(multipliers, [node.name for node in architecture.nodes])
    except UserError as error:
        problems.append(Problem(architecture.name, "parameters", error.message))
    return architecture.with_attributes(changed), problems


def why_not(node: Node, attributes: Iterable[str]) -> str:
    """Return why a node has no such attribute; nothing when it has."""
    layer, given = node.layer, node.attributes
    *outer, last = attributes
    for name in outer:
        inner = named(given.get(name))
        if catalogue().layers.get(layer, {}).get(name, {}).get("kind") != "layer" or inner is None:
            return f"{layer} has no layer {name}"
        layer, given = inner
    known = catalogue().layers.get(layer, {})
    return "" if last in known else f"{layer} has no attribute {last}{meant(last, known)}"


def _no_node(architecture: Architecture, path: Path) -> Problem:
    names = [node.name for node in architecture.nodes]
    return Problem(architecture.name, "parameters", f"{path.key} fits no node{meant(path.pattern, names)}")


def _with(attributes: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    name, *rest = path
    if not rest:
        return {**attributes, name: value}
    layer, inner = named(attributes[name]) or ("", {})
    return {**attributes, name: {layer: _with(inner, rest, value)}}
