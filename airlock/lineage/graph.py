"""The graph of what was made from what, walked both ways, with the decisions and deployments about its manifests."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from airlock.lineage.edges import Edge, Node

Way = Literal["up", "down"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger record about a manifest.

    :param seq: its number in the ledger.
    """

    seq: int
    kind: str
    text: str


class Branch(msgspec.Struct, kw_only=True):
    """One line of a tree.

    :param repeated: what lies below was shown before.
    """

    text: str
    id: str = ""
    kind: str = ""
    repeated: bool = False
    below: list["Branch"] = []


class Graph:
    """Edges by node and by run of a step.

    :param edges: all of them, or those that are reachable.
    :param events: ledger records by manifest.
    """

    def __init__(self, edges: Iterable[Edge], events: dict[str, list[Event]]) -> None:
        self.events = events
        self.nodes: dict[str, Node] = {}
        self._takes: dict[str, list[Edge]] = defaultdict(list)
        self._gives: dict[str, list[Edge]] = defaultdict(list)
        self._taken: dict[str, list[Edge]] = defaultdict(list)
        self._given: dict[str, list[Edge]] = defaultdict(list)
        for edge in edges:
            self._add(edge)

    def _add(self, edge: Edge) -> None:
        known = self.nodes.setdefault(edge.node.id, edge.node)
        if known.kind == "artifact" and edge.node.kind != "artifact":
            self.nodes[edge.node.id] = edge.node
        by_run, by_node = (self._takes, self._taken) if edge.direction == "input" else (self._gives, self._given)
        by_run[edge.execution].append(edge)
        by_node[edge.node.id].append(edge)

    def tree(self, node: Node, way: Way, seen: set[str] | None = None) -> Branch:
        """Return a node with all that it was made from (up) or that was made from it (down)."""
        seen = set() if seen is None else seen
        repeated = node.id in seen
        seen.add(node.id)
        branch = Branch(text=described(node), id=node.id, kind=node.kind, repeated=repeated)
        if not repeated:
            branch.below = [*self._events(node), *self._runs(node, way, seen)]
        return branch

    def _events(self, node: Node) -> Iterator[Branch]:
        for event in self.events.get(node.id, []):
            yield Branch(text=f"{event.kind}: {event.text} (ledger record {event.seq})", kind=event.kind)

    def _runs(self, node: Node, way: Way, seen: set[str]) -> Iterator[Branch]:
        edges, others = (self._taken, self._gives) if way == "down" else (self._given, self._takes)
        for execution, edge in _first_by_work(edges[node.id], others):
            below = [self.tree(self.nodes[other.node.id], way, seen) for other in others[execution]]
            yield Branch(text=f"{edge.step} · {execution}", id=execution, kind="run of a step", below=below)

    def reachable(self, node: Node, way: Way) -> list[Edge]:
        """Return the edges on the way from a node."""
        edges, others = (self._taken, self._gives) if way == "down" else (self._given, self._takes)
        found, queue, seen = [], [node.id], {node.id}
        while queue:
            for edge in edges[queue.pop()]:
                found.append(edge)
                for other in others[edge.execution]:
                    found.append(other)
                    if other.node.id not in seen:
                        seen.add(other.node.id)
                        queue.append(other.node.id)
        return list(dict.fromkeys(found))


def _first_by_work(edges: list[Edge], others: dict[str, list[Edge]]) -> Iterator[tuple[str, Edge]]:
    """Give the runs of steps, those that did the same work (a cached result, a retry) once: the first."""
    done: set[tuple[str, tuple[str, ...]]] = set()
    for edge in sorted(edges, key=lambda edge: edge.created):
        work = (edge.step, tuple(sorted(other.node.id for other in others[edge.execution])))
        if work not in done:
            done.add(work)
            yield edge.execution, edge


def described(node: Node) -> str:
    """Return a node for people."""
    return f"{node.kind} {node.name} {node.id}" if node.name not in node.id else f"{node.kind} {node.id}"


def dot(edges: Iterable[Edge]) -> str:
    """Return edges as a Graphviz digraph."""
    listed = list(edges)
    nodes = {edge.node.id: edge.node for edge in listed}
    lines = [f"  {_quoted(node.id)} [label={_quoted(f'{node.kind} {node.name}')}];" for node in nodes.values()]
    runs = {edge.execution: edge.step for edge in listed}
    lines += [f"  {_quoted(execution)} [shape=box, label={_quoted(step)}];" for execution, step in runs.items()]
    for edge in listed:
        ends = (edge.node.id, edge.execution) if edge.direction == "input" else (edge.execution, edge.node.id)
        lines.append(f"  {_quoted(ends[0])} -> {_quoted(ends[1])} [label={_quoted(edge.field)}];")
    return "\n".join(["digraph lineage {", *lines, "}"])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
