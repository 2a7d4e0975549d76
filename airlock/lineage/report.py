"""What ``airlock lineage`` tells of an id, both ways."""

from typing import Any

import msgspec

from airlock.errors import UserError
from airlock.lineage.edges import Edge, Node
from airlock.lineage.graph import Branch, described, dot
from airlock.lineage.lookup import HINT, Lookup
from airlock.settings import Settings


class Root(msgspec.Struct, kw_only=True):
    """One thing that was asked about.

    :param below: what is known of it itself.
    :param up: what it was made from; ``down`` what was made from it.
    """

    text: str
    below: list[Branch]
    up: list[Branch]
    down: list[Branch]


class Report(msgspec.Struct, kw_only=True):
    """All of it.

    :param edges: what was walked.
    """

    roots: list[Root]
    edges: list[Edge]

    @property
    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"roots": msgspec.to_builtins(self.roots), "edges": msgspec.to_builtins(self.edges)}

    @property
    def dot(self) -> str:
        """For Graphviz."""
        return dot(self.edges)

    @property
    def summary(self) -> str:
        """The kinds of what came of it, counted; empty when nothing did."""
        kinds: dict[str, set[str]] = {}
        for root in self.roots:
            for branch in root.down:
                _count(branch, kinds)
        order = ("dataset", "labels", "run", "model", "manifest", "request", "decision", "promotion", "deployment")
        told = [f"{len(kinds[kind])} {kind}{'s' * (len(kinds[kind]) > 1)}" for kind in order if kinds.get(kind)]
        return f"in all: {', '.join(told)}" if told else ""


def report(settings: Settings, text: str) -> Report:
    """Return the lineage of an id.

    :raises UserError: nothing is known of it, or it is the beginning of several.
    """
    from airlock.stores.database import open_database

    lookup = Lookup(open_database(settings.database))
    if nodes := lookup.find(text):
        return _of_nodes(lookup, nodes)
    found = _of_sample(lookup, settings, text)
    if found is None:
        raise UserError(f"Nothing is known of {text!r}.", hint=HINT)
    return found


def _of_nodes(lookup: Lookup, nodes: list[Node]) -> Report:
    up, down = lookup.graph(nodes, "up"), lookup.graph(nodes, "down")
    roots = []
    for node in nodes:
        made, became = up.tree(node, "up"), down.tree(node, "down")
        events = [branch for branch in became.below if not branch.id]
        roots.append(
            Root(
                text=described(node),
                below=[],
                up=[branch for branch in made.below if branch.id],
                down=[*events, *(branch for branch in became.below if branch.id)],
            )
        )
    walked = [edge for node in nodes for edge in (*up.reachable(node, "up"), *down.reachable(node, "down"))]
    return Report(roots=roots, edges=list(dict.fromkeys(walked)))


def _of_sample(lookup: Lookup, settings: Settings, text: str) -> Report | None:
    from airlock.lineage.samples import find_sample, forgotten, places
    from airlock.stores.datasets import open_datasets
    from airlock.stores.layers import open_layers

    datasets, store = open_datasets(settings.datasets), open_layers(settings)
    found = find_sample(lookup, datasets, text)
    stones = forgotten(lookup, datasets, text)
    if not found:
        return Report(roots=[Root(text=f"sample {text}", below=stones, up=[], down=[])], edges=[]) if stones else None
    nodes = [each.dataset for each in found]
    graph = lookup.graph(nodes, "down")
    seen: set[str] = set()
    trees, walked = [], []
    for each in found:
        reached = graph.reachable(each.dataset, "down")
        tree = graph.tree(each.dataset, "down", seen)
        tree.below = [*places(each, graph, reached, store, lookup), *tree.below]
        trees.append(tree)
        walked += reached
    sources = sorted({each.source for each in found if each.source})
    came_from = [Branch(text=each) for each in sources]
    root = Root(text=f"sample {found[0].sample_id}", below=stones, up=came_from, down=trees)
    return Report(roots=[root], edges=list(dict.fromkeys(walked)))


def _count(branch: Branch, kinds: dict[str, set[str]]) -> None:
    kinds.setdefault(branch.kind, set()).add(branch.id or branch.text)
    for below in branch.below:
        _count(below, kinds)
