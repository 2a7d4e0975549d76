"""Checks an architecture without Keras and reports everything that is wrong with it at once."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

import msgspec

from airlock.errors import UserError
from airlock.model.architecture.attributes import Reading
from airlock.model.architecture.catalogue import Layer
from airlock.model.architecture.document import INPUT, Architecture, Node
from airlock.model.architecture.expressions import UNKNOWN, ExpressionError, Scope, names_in
from airlock.model.architecture.overrides import apply, split_overrides
from airlock.model.architecture.problems import ArchitectureError, Problem, meant
from airlock.model.architecture.shapes import RULES, Made, Misfit, Tensor

RESEMBLES = 0.8


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A node that passed.

    :param layer: with every ``${…}`` computed and overrides applied.
    :param made: what it makes; None when it depends on what is unknown before the run.
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    made: Made | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """An architecture that passed.

    :param nodes: each after the nodes it reads.
    """

    architecture: Architecture
    nodes: tuple[Checked, ...]

    @property
    def trainable(self) -> int:
        """Weights that training changes."""
        return sum(node.made.trainable for node in self.nodes if node.made)

    @property
    def frozen(self) -> int:
        """Weights that it does not."""
        return sum(node.made.frozen for node in self.nodes if node.made)


def check(
    architecture: Architecture, parameters: Mapping[str, Any] | None = None, classes: int | None = None
) -> Report:
    """Check everything Keras would find while it builds the model, and some of what it would not.

    :param parameters: a run's, with overrides such as ``net["conv*"].filters``; what the architecture does not name is
        the training's business, unless it looks like a slip of the pen.
    :param classes: number of classes; None when it is not known yet.
    :raises ArchitectureError: with every problem.
    """
    return _Check(architecture, parameters or {}, classes).report()


class _Check:
    def __init__(self, architecture: Architecture, parameters: Mapping[str, Any], classes: int | None) -> None:
        self.problems = list(architecture.problems)
        self.classes = classes
        self.written = architecture
        self.architecture = self._overridden(architecture, parameters)
        plain = {name: parameters[name] for name in architecture.parameters if name in parameters}
        count = UNKNOWN if classes is None else classes
        self.scope = Scope({**architecture.parameters, **plain, "classes": count})
        self.readings: dict[str, Reading] = {}

    def report(self) -> Report:
        nodes = {node.name: node for node in self.architecture.nodes}
        for node in nodes.values():
            self._read(node)
        self._check_parameters()
        order = self._order(nodes)
        checked = self._infer([nodes[name] for name in order])
        self._check_output(checked, nodes)
        if self.problems:
            raise ArchitectureError(self.architecture.name, self.problems)
        return Report(architecture=self.architecture, nodes=tuple(checked.values()))

    def _overridden(self, architecture: Architecture, parameters: Mapping[str, Any]) -> Architecture:
        try:
            given = split_overrides(parameters)
        except UserError as error:
            self.problems.append(Problem(architecture.name, "parameters", str(error)))
            return architecture
        changed, problems = apply(architecture, given.attributes, given.multipliers)
        self.problems += problems
        for name in given.plain.keys() - architecture.parameters.keys():
            if near := meant(name, architecture.parameters, RESEMBLES):
                self.problems.append(Problem(architecture.name, "parameters", f"there is no parameter {name}{near}"))
        return changed

    def _read(self, node: Node) -> None:
        values = {}
        for attribute, value in node.attributes.items():
            try:
                values[attribute] = self.scope.substitute(value)
            except ExpressionError as error:
                self._wrong(node, f"{attribute}: {error}")
                values[attribute] = UNKNOWN
        reading = self.readings[node.name] = Reading(node.layer, values, node.attributes)
        for fault in reading.faults:
            self._wrong(node, fault)

    def _check_parameters(self) -> None:
        """A parameter is used where the document says so, be it that a run overrides just that attribute."""
        used = {name for node in self.written.nodes for name in names_in(node.attributes)}
        for name in self.written.parameters:
            if name not in used:
                reason = f"{name} is used by no node: write ${{{name}}} where it is meant, or take it out"
                self.problems.append(Problem(self.written.name, "parameters", reason))

    def _order(self, nodes: dict[str, Node]) -> list[str]:
        for node in nodes.values():
            for name in node.inputs:
                if name != INPUT and name not in nodes:
                    self._wrong(node, f"reads {name}, and there is no such node{meant(name, [INPUT, *nodes])}")
        graph = {node.name: [name for name in node.inputs if name in nodes] for node in nodes.values()}
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            circle: list[str] = error.args[1]
            self._wrong(nodes[circle[0]], f"reads itself, in a circle: {' -> '.join(circle)}")
            return []

    def _infer(self, nodes: list[Node]) -> dict[str, Checked]:
        tensors = {INPUT: Tensor(self.architecture.shape, self.architecture.dtype)} if self.architecture.shape else {}
        checked: dict[str, Checked] = {}
        for node in nodes:
            made = self._made(node, tensors)
            if made:
                tensors[node.name] = Tensor(made.shape, made.dtype)
            layer = self.readings[node.name].layer
            checked[node.name] = Checked(name=node.name, layer=layer, inputs=node.inputs, made=made)
        return checked

    def _made(self, node: Node, tensors: dict[str, Tensor]) -> Made | None:
        """Return what a node makes; nothing when that hangs on something unknown or already reported."""
        reading = self.readings[node.name]
        if not reading.usable or not all(name in tensors for name in node.inputs):
            return None
        try:
            return RULES[node.layer].apply(reading.layer, [tensors[name] for name in node.inputs])
        except Misfit as error:
            self._wrong(node, str(error))
            return None

    def _check_output(self, checked: dict[str, Checked], nodes: dict[str, Node]) -> None:
        output = self.architecture.output
        if output not in nodes:
            if nodes:
                reason = f"is {output}, and there is no such node{meant(output, nodes)}"
                self.problems.append(Problem(self.architecture.name, "output", reason))
            return
        if all(name == INPUT or name in nodes for node in nodes.values() for name in node.inputs):
            self._check_used(output, nodes)
        made = checked[output].made if output in checked else None
        if made is None:
            return
        if len(made.shape) != 1 or self.classes not in (None, made.shape[0]):
            wanted = "[classes]" if self.classes is None else f"[{self.classes}], one for each class"
            self._wrong(nodes[output], f"is the output and makes {list(made.shape)}; it must make {wanted}")
        elif made.dtype != "float32":
            self._wrong(nodes[output], f"is the output and makes {made.dtype}; it must make float32")

    def _check_used(self, output: str, nodes: dict[str, Node]) -> None:
        used: set[str] = set()
        waiting = [output]
        while waiting:
            name = waiting.pop()
            if name in nodes and name not in used:
                used.add(name)
                waiting += nodes[name].inputs
        for name, node in nodes.items():
            if name not in used:
                self._wrong(node, f"leads nowhere: the output {output} does not depend on it")

    def _wrong(self, node: Node, reason: str) -> None:
        self.problems.append(Problem(node.file, node.name, reason))
