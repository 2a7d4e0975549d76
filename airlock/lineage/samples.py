"""Where one sample is: the dataset versions that hold it, its split and label in each, or its tombstone."""

import hashlib
import io
import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import IntegrityError, UserError
from airlock.lineage.edges import Edge, Node
from airlock.lineage.graph import Branch, Graph
from airlock.lineage.lookup import Lookup
from airlock.references import Artifact
from airlock.stores.tables import table_errors

if TYPE_CHECKING:
    from airlock.stores.artifacts import ArtifactStore
    from airlock.stores.datasets import DatasetStore

log = logging.getLogger(__name__)
HEX = re.compile(r"[0-9a-f]{8,64}")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A sample in a dataset version.

    :param source: path inside the source it came from.
    """

    sample_id: str
    dataset: Node
    source: str


def find_sample(lookup: Lookup, datasets: "DatasetStore", text: str) -> list[Found]:
    """Return the dataset versions that hold the sample whose id begins so.

    :raises UserError: it is the beginning of several.
    """
    if not HEX.fullmatch(text):
        return []
    found = [each for node in lookup.datasets() for each in _in_version(datasets, node, text)]
    if len(different := {each.sample_id for each in found}) > 1:
        raise UserError(f"{text!r} begins {len(different)} samples' ids.", hint="Give more of it.")
    return found


def _in_version(datasets: "DatasetStore", node: Node, text: str) -> Iterator[Found]:
    name, _, version = node.name.rpartition("@")
    try:
        with table_errors(f"dataset {node.name}"):
            rows = _rows(datasets, name, int(version), text)
    except IntegrityError as error:  # the other versions can still say what they hold
        log.warning("%s cannot be searched: %s", node.name, error)
        return
    for row in rows:
        yield Found(sample_id=row["sample_id"], dataset=node, source=row.get("source") or "")


def _rows(datasets: "DatasetStore", name: str, version: int, text: str) -> list[dict[str, Any]]:
    opened = datasets.tables.open(name, version)
    if opened is None:
        return []
    columns = [column for column in ("sample_id", "source") if column in opened.schema.names]
    found: list[dict[str, Any]] = opened.to_table(
        columns=columns, filter=f"starts_with(sample_id, '{text}')"
    ).to_pylist()
    return found


def forgotten(lookup: Lookup, datasets: "DatasetStore", sample_id: str) -> list[Branch]:
    """Return what is left of a sample that was deleted for privacy: only its whole id finds it."""
    hashed = hashlib.sha256(sample_id.encode()).hexdigest()
    names = sorted({node.name.rpartition("@")[0].partition(":")[0] for node in lookup.datasets()})
    return [
        Branch(text=f"deleted for privacy from {name} by {stone.who}: {stone.reason}; was in {listed(stone.versions)}")
        for name in names
        for stone in datasets.tombstones(name)
        if stone.sample == hashed
    ]


def listed(versions: list[str]) -> str:
    """Return versions for a message."""
    return ", ".join(versions) or "no version"


def places(found: Found, graph: Graph, edges: list[Edge], store: "ArtifactStore", lookup: Lookup) -> Iterator[Branch]:
    """Give a sample's split and label, as the steps that took its dataset version assigned them."""
    runs = {edge.execution for edge in edges if edge.node.id == found.dataset.id and edge.direction == "input"}
    for edge in edges:
        if edge.execution in runs and (edge.step, edge.field, edge.direction) == ("split", "split", "output"):
            yield Branch(text=f"{_split_of(store, edge.node.id, found.sample_id)} in split {edge.node.id}")
    sets = [node.id for node in graph.nodes.values() if node.kind == "labels"]
    for digest, label in lookup.labels(found.sample_id, sets).items():
        yield Branch(text=f"labelled {label!r} in labels {digest}")


def _split_of(store: "ArtifactStore", digest: str, sample_id: str) -> str:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    data = store.read(Artifact(digest=digest, size=0).digest)
    table = pq.read_table(io.BytesIO(data))
    rows = table.filter(pc.field("sample_id") == sample_id)
    return str(rows["split"][0]) if rows.num_rows else "not"
