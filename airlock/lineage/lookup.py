"""Finds what an id names, and the edges that can be reached from it."""

import re
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import UserError
from airlock.lineage.edges import Edge, Node
from airlock.lineage.graph import Event, Graph, Way
from airlock.stores.database import Database
from airlock.stores.ledger import Ledger, Record

if TYPE_CHECKING:
    from psycopg2.extras import RealDictCursor

SHORTEST = 4
NAMED = 8
HINT = "Give more of it; `airlock lineage` knows digests, NAME@VERSION, run ids and sample ids."
FIND = """
SELECT DISTINCT ON (node) node, kind, name FROM airlock.lineage_edge
WHERE node LIKE ANY (%(patterns)s) OR name = %(name)s ORDER BY node, kind = 'artifact'
"""
RUN = """
SELECT DISTINCT ON (node) node, kind, name FROM airlock.lineage_edge
WHERE direction = 'output' AND execution LIKE %(pattern)s ORDER BY node, kind = 'artifact'
"""
# From the nodes over the runs that took (or gave) them to what those gave (or took), and so on.
REACH = """
WITH RECURSIVE reach (node) AS (
    SELECT unnest(%(nodes)s::text[]) COLLATE "C"
    UNION
    SELECT far.node FROM reach
    JOIN airlock.lineage_edge AS near ON near.node = reach.node AND near.direction = %(near)s
    JOIN airlock.lineage_edge AS far ON far.execution = near.execution AND far.direction <> %(near)s
)
SELECT * FROM airlock.lineage_edge WHERE execution IN (
    SELECT execution FROM airlock.lineage_edge JOIN reach USING (node) WHERE direction = %(near)s
) ORDER BY created, execution, direction, field
"""


class Lookup:
    """Lineage in Airlock's database.

    :param database: Airlock's database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, text: str) -> list[Node]:
        """Return the node that an id names, or all that a run gave; none when nothing is known of it.

        :param text: digest, ``NAME@VERSION``, MLflow run id, Airflow run id, or the beginning of a digest or id.
        :raises UserError: it is too short, or the beginning of several.
        """
        if len(text) < SHORTEST:
            raise UserError(f"{text!r} is too short for an id.", hint=HINT)
        escaped = re.sub(r"([\\%_])", r"\\\1", text)
        patterns = [f"{start}{escaped}%" for start in ("", "sha256:", "run:", "model:")]
        with self.database.transaction() as cursor:
            cursor.execute(FIND, {"patterns": patterns, "name": text})
            found = _nodes(cursor)
            if not found:
                cursor.execute(RUN, {"pattern": f"%/{_plain(text)}/%"})
                return _nodes(cursor)
        exact = [node for node in found if text in (node.id, node.id.removeprefix("sha256:"))]
        found = exact or found
        if len(found) > 1:
            named = "; ".join(f"{node.kind} {node.id}" for node in found[:NAMED])
            raise UserError(f"{text!r} names {len(found)} things: {named}.", hint=HINT)
        return found

    def datasets(self) -> list[Node]:
        """Return every dataset version that a step took or gave."""
        with self.database.transaction() as cursor:
            cursor.execute("SELECT DISTINCT node, kind, name FROM airlock.lineage_edge WHERE kind = 'dataset'")
            return _nodes(cursor)

    def graph(self, nodes: list[Node], way: Way) -> Graph:
        """Return all that can be reached from nodes, with the ledger's records about the manifests in it."""
        near = "input" if way == "down" else "output"
        with self.database.transaction() as cursor:
            cursor.execute(REACH, {"nodes": [node.id for node in nodes], "near": near})
            edges = [_edge(row) for row in cursor.fetchall()]
        manifests = {edge.node.id for edge in edges if edge.node.kind == "manifest"}
        return Graph(edges, self._events(manifests | {node.id for node in nodes}))

    def labels(self, sample_id: str, label_sets: list[str]) -> dict[str, str]:
        """Return a sample's label in each of some label sets."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "SELECT digest, label FROM airlock.label_entry WHERE sample_id = %s AND digest = ANY (%s)",
                (sample_id, label_sets),
            )
            return {str(row["digest"]): str(row["label"]) for row in cursor.fetchall()}

    def _events(self, manifests: set[str]) -> dict[str, list[Event]]:
        found: dict[str, list[Event]] = {}
        for record in Ledger(self.database).read():
            manifest = str(record.body.get("manifest", ""))
            if manifest in manifests:
                found.setdefault(manifest, []).append(_event(record))
        return found


def _event(record: Record) -> Event:
    body = record.body
    said = {
        "request": f"asked at the {body.get('gate')} gate",
        "decision": f"{body.get('user')} chose {body.get('option')!r} at the {body.get('gate')} gate",
        "closed": f"{body.get('gate')} gate {body.get('verdict')}",
    }
    where = body.get("target") or body.get("queue") or record.use_case
    return Event(seq=record.seq, kind=record.kind, text=said.get(record.kind, f"to {where}"))


def _nodes(cursor: "RealDictCursor") -> list[Node]:
    return [Node(id=row["node"], kind=row["kind"], name=row["name"]) for row in cursor.fetchall()]


def _edge(row: dict[str, Any]) -> Edge:
    node = Node(id=row["node"], kind=row["kind"], name=row["name"])
    given = {name: row[name] for name in ("execution", "step", "direction", "field", "created")}
    return msgspec.convert(given | {"node": node}, Edge)


def _plain(text: str) -> str:
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in text)
