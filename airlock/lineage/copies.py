"""Copies of samples outside their dataset, found by lineage: what a deletion for privacy must reach too."""

import msgspec

from airlock.errors import IntegrityError
from airlock.lineage.edges import Node
from airlock.lineage.lookup import Lookup
from airlock.references import Artifact, DatasetVersion
from airlock.stores.artifacts import TREE, ArtifactStore

HOLD_SAMPLES = {
    ("ingest", "samples"),
    ("stream", "samples"),
    ("clean", "samples"),
    ("transform", "tensors"),
    ("validate", "report"),
    ("pull_labels", "report"),
    ("evaluate", "picture"),
}
"""Outputs, by step and field, in which samples lie as they are, or can be seen."""
LEARNED = ("model", "run")


class Copies(msgspec.Struct, frozen=True, kw_only=True):
    """What lies outside a dataset.

    :param artifacts: hold samples as they are.
    :param learned: models and their runs, which were trained on them; a model is not a copy, and may still remember.
    """

    artifacts: list[Node]
    learned: list[Node]


def copies_of(lookup: Lookup, versions: list[DatasetVersion]) -> Copies:
    """Find what some dataset versions were made from and what was made of them, as far as it holds their samples."""
    artifacts: dict[str, Node] = {}
    learned: dict[str, Node] = {}
    for version in versions:
        start = Node(id=version.digest, kind="dataset", name=f"{version.name}@{version.version}")
        for way in ("up", "down"):
            for edge in lookup.graph([start], way).reachable(start, way):
                if (edge.step, edge.field) in HOLD_SAMPLES and edge.direction == "output":
                    artifacts[edge.node.id] = edge.node
                if edge.node.kind in LEARNED:
                    learned[edge.node.id] = edge.node
    return Copies(artifacts=list(artifacts.values()), learned=list(learned.values()))


def remove(store: ArtifactStore, copies: list[Node]) -> list[Node]:
    """Remove artifacts, trees with all their files; return those that were still there.

    :param store: both layers: raw samples lie in the sealed one.
    """
    return [node for node in copies if _remove(store, node)]


def _remove(store: ArtifactStore, node: Node) -> bool:
    digests = [node.id]
    if node.name == TREE:
        try:
            listing = store.listing(Artifact(digest=node.id, size=0, kind="tree", media_type=TREE))
        except IntegrityError:  # removed before
            return False
        digests = [*(str(entry["digest"]) for entry in listing.values()), node.id]
    return sum(store.remove(digest) for digest in digests) > 0
