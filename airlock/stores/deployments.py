"""What should be served where, and what a target's reconciler sees."""

import time
from typing import Any

import msgspec

from airlock.digests import short
from airlock.errors import UserError
from airlock.stores.database import Database, one

SELECT = """
SELECT generation, use_case, target, manifest, decision, created,
       coalesce(state, '') AS state, coalesce(endpoint, '') AS endpoint, coalesce(detail, '') AS detail, ready
FROM airlock.deployment LEFT JOIN airlock.observation USING (generation)
"""
OBSERVE = """
INSERT INTO airlock.observation AS known (generation, state, endpoint, detail, seen, ready)
SELECT generation, %(state)s, %(endpoint)s, %(detail)s, %(now)s, CASE WHEN %(state)s = 'ready' THEN %(now)s END
FROM airlock.deployment WHERE generation = %(generation)s AND use_case = %(use_case)s AND target = %(target)s
ON CONFLICT (generation) DO UPDATE SET state = excluded.state, endpoint = excluded.endpoint,
    detail = excluded.detail, seen = excluded.seen, ready = coalesce(known.ready, excluded.ready)
"""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to serve a release, and what became of it.

    :param generation: number of the wish; the newest of a use case and target counts.
    :param manifest: digest of the release manifest; likewise ``decision``, the hash of its approval.
    :param state: the reconciler's word, ``ready`` or why not yet; empty before it looked.
    :param created: seconds since the epoch; likewise ``ready``, when it first was.
    """

    generation: int
    use_case: str
    target: str
    manifest: str
    decision: str
    created: float
    state: str = ""
    endpoint: str = ""
    detail: str = ""
    ready: float | None = None


class Deployments:
    """Deployments in a database.

    :param database: Airlock's database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def want(self, use_case: str, target: str, manifest: str, decision_hash: str, position: int | None = None) -> int:
        """Wish that a release be served; return the wish's generation. The same wish again is the same generation.

        :param position: of the promotion queue's item it was made from; ``None`` for what somebody asked for by name.
        :raises UserError: something made from a newer item was wished for already.
        """
        with self.database.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (f"{use_case}\n{target}",))
            newest = " WHERE use_case = %s AND target = %s ORDER BY generation DESC LIMIT 1"
            cursor.execute(SELECT + newest, (use_case, target))
            row = cursor.fetchone()
            if row and (row["manifest"], row["decision"]) == (manifest, decision_hash):
                return int(row["generation"])
            if position is not None:
                self._require_newest(cursor, use_case, target, manifest, position)
            cursor.execute(
                "INSERT INTO airlock.deployment (use_case, target, manifest, decision, created, position)"
                " VALUES (%s, %s, %s, %s, %s, %s) RETURNING generation",
                (use_case, target, manifest, decision_hash, time.time(), position),
            )
            return int(one(cursor)["generation"])

    def _require_newest(self, cursor: Any, use_case: str, target: str, manifest: str, position: int) -> None:
        cursor.execute(
            "SELECT manifest, position FROM airlock.deployment WHERE use_case = %s AND target = %s AND position > %s"
            " ORDER BY position DESC LIMIT 1",
            (use_case, target, position),
        )
        if newer := cursor.fetchone():
            raise UserError(
                f"Release {short(manifest)} was made from item {position} of the promotion queue, and "
                f"{short(newer['manifest'])} from the newer item {newer['position']} was deployed meanwhile: "
                "deployments never go backwards.",
                hint='To go back on purpose start a run that names its candidate: {"manifest": "sha256:…"}.',
            )

    def wanted(self, target: str) -> list[Deployment]:
        """Return the newest wish of every use case at a target."""
        newest = "SELECT max(generation) FROM airlock.deployment WHERE target = %s GROUP BY use_case"
        return self._select(f"WHERE generation IN ({newest}) ORDER BY use_case", (target,))

    def observe(
        self, use_case: str, target: str, generation: int, state: str, endpoint: str = "", detail: str = ""
    ) -> None:
        """Say what the target looks like for a wish; ``ready`` makes it the champion."""
        values = {"use_case": use_case, "target": target, "generation": generation, "state": state}
        with self.database.transaction() as cursor:
            cursor.execute(OBSERVE, values | {"endpoint": endpoint, "detail": detail, "now": time.time()})

    def observed(self, use_case: str, target: str) -> Deployment | None:
        """Return the newest wish with what was last seen of it; ``None`` when there is no wish."""
        found = self._select("WHERE use_case = %s AND target = %s ORDER BY generation DESC LIMIT 1", (use_case, target))
        return found[0] if found else None

    def champion(self, use_case: str) -> Deployment | None:
        """Return the last deployment that became ready."""
        found = self._select("WHERE use_case = %s AND ready IS NOT NULL ORDER BY generation DESC LIMIT 1", (use_case,))
        return found[0] if found else None

    def _select(self, rest: str, values: tuple[Any, ...]) -> list[Deployment]:
        with self.database.transaction() as cursor:
            cursor.execute(SELECT + rest, values)
            return [Deployment(**row) for row in cursor.fetchall()]
