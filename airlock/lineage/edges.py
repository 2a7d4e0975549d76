"""What a run of a step took and gave, as edges between it and what they name."""

import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from airlock.errors import InfrastructureError
from airlock.references import AnyReference, Artifact, DatasetVersion, LabelSet, ModelVersion, TrackingRun
from airlock.settings import Settings
from airlock.stores.verification import references

MANIFEST = "application/vnd.airlock.manifest+json"
Direction = Literal["input", "output"]
INSERT = """
INSERT INTO airlock.lineage_edge (execution, step, direction, node, kind, name, field, created)
    VALUES %s ON CONFLICT DO NOTHING
"""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """Something that steps take and give.

    :param id: digest; ``run:ID`` and ``model:NAME@VERSION`` for what the tracking server keeps.
    :param kind: artifact, manifest, dataset, labels, run, model, or sample.
    :param name: for people.
    """

    id: str
    kind: str
    name: str


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """One node of one run of a step.

    :param execution: ``dag/run/task/attempt``.
    :param field: of the step's inputs or outputs.
    """

    execution: str
    step: str
    direction: Direction
    node: Node
    field: str
    created: float


def node_of(reference: AnyReference) -> Node:
    """Return the node that a reference names."""
    match reference:
        case Artifact():
            kind = "manifest" if reference.media_type == MANIFEST else "artifact"
            return Node(id=reference.digest, kind=kind, name=reference.media_type)
        case DatasetVersion():
            return Node(id=reference.digest, kind="dataset", name=f"{reference.name}@{reference.version}")
        case LabelSet():
            return Node(id=reference.digest, kind="labels", name=f"{reference.rows} labels")
        case TrackingRun():
            return Node(id=f"run:{reference.run_id}", kind="run", name=reference.experiment)
        case ModelVersion():
            name = f"{reference.name}@{reference.version}"
            return Node(id=f"model:{name}", kind="model", name=name)


def edges_of(execution: str, step: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Iterator[Edge]:
    """Give the edges of one run of a step; what it only hands through is an input."""
    now, taken = time.time(), set()
    sides: tuple[tuple[Direction, Mapping[str, Any]], ...] = (("input", inputs), ("output", outputs))
    for direction, values in sides:
        for field, value in values.items():
            for node in map(node_of, references(value)):
                if direction == "input":
                    taken.add(node.id)
                elif node.id in taken:
                    continue
                yield Edge(execution=execution, step=step, direction=direction, node=node, field=field, created=now)


def record(
    settings: Settings, execution: str, step: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]
) -> None:
    """Keep what a run of a step took and gave.

    The table is an index: specs and results in the artifact store are the truth that ``airlock lineage --rebuild``
    makes it from again. So a database that is away is said, and fails no step whose work is done.
    """
    edges = list(edges_of(execution, step, inputs, outputs))
    if not edges or not settings.database:
        return
    try:
        store_edges(settings, edges)
    except InfrastructureError as error:
        sys.stderr.write(f"airlock: lineage of {execution} is not indexed: {error} `airlock lineage --rebuild` does.\n")


def store_edges(settings: Settings, edges: list[Edge]) -> None:
    """Insert edges; those that are there stay.

    :raises InfrastructureError: the database does not answer.
    """
    from psycopg2.extras import execute_values

    from airlock.stores.database import open_database

    rows = [
        (each.execution, each.step, each.direction, *msgspec.structs.astuple(each.node), each.field, each.created)
        for each in edges
    ]
    with open_database(settings.database).transaction() as cursor:
        execute_values(cursor, INSERT, rows)
