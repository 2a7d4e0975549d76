"""What should be served where, and what a target's reconciler sees."""

import time
from typing import Any

import msgspec

from airlock.digests import short
from airlock.errors import UserError
from airlock.stores.database import Database, one

LOCAL, STAGING = "local", "staging"
SELECT = """
SELECT generation, use_case, target, manifest, decision, created, position, canary, canary_decision, share, shadow,
       coalesce(state, '') AS state, coalesce(endpoint, '') AS endpoint, coalesce(detail, '') AS detail, ready
FROM airlock.deployment LEFT JOIN airlock.observation USING (generation)
"""
INSERT = """
INSERT INTO airlock.deployment
    (use_case, target, manifest, decision, created, position, canary, canary_decision, share, shadow)
VALUES (%(use_case)s, %(target)s, %(manifest)s, %(decision)s, %(created)s, %(position)s,
        %(canary)s, %(canary_decision)s, %(share)s, %(shadow)s) RETURNING generation
"""
OBSERVE = """
INSERT INTO airlock.observation AS known (generation, state, endpoint, detail, seen, ready)
SELECT generation, %(state)s, %(endpoint)s, %(detail)s, %(now)s, CASE WHEN %(state)s = 'ready' THEN %(now)s END
FROM airlock.deployment WHERE generation = %(generation)s AND use_case = %(use_case)s AND target = %(target)s
ON CONFLICT (generation) DO UPDATE SET state = excluded.state, endpoint = excluded.endpoint,
    detail = excluded.detail, seen = excluded.seen, ready = coalesce(known.ready, excluded.ready)
"""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to serve a release, perhaps with a canary beside it, and what became of it.

    :param generation: number of the wish; the newest of a use case and target counts.
    :param manifest: digest of the release manifest; empty when nothing is wanted any more. Likewise ``decision``,
        the hash of its approval.
    :param canary: digest of a second release that answers too, with ``canary_decision``; empty for none.
    :param share: of the requests that the canary answers, 0 to 1.
    :param shadow: the canary gets copies of requests, and nobody its answers.
    :param position: of the promotion queue's item it was made from; ``None`` for what was asked for by name.
    :param state: the reconciler's word, ``ready`` or why not yet; empty before it looked.
    :param created: seconds since the epoch; likewise ``ready``, when it first was.
    """

    generation: int
    use_case: str
    target: str
    manifest: str
    decision: str
    created: float
    canary: str = ""
    canary_decision: str = ""
    share: float = 0.0
    shadow: bool = False
    position: int | None = None
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

    def want(
        self,
        use_case: str,
        target: str,
        manifest: str,
        decision_hash: str,
        position: int | None = None,
        *,
        expected: int | None = None,
    ) -> int:
        """Wish that a release be served; return the wish's generation. The same wish again is the same generation.

        :param position: of the promotion queue's item it was made from; ``None`` for what somebody asked for by name.
        :param expected: the newest generation, as whoever wishes knows it; ``None`` for whatever it is.
        :raises UserError: something made from a newer item was wished for already, or another generation is newest.
        """
        with self.database.transaction() as cursor:
            newest = _locked(cursor, use_case, target)
            if newest and (newest.manifest, newest.decision, newest.canary) == (manifest, decision_hash, ""):
                return newest.generation
            _require_expected(newest, expected, use_case, target)
            _require_newest(cursor, use_case, target, manifest, position)
            made = {"use_case": use_case, "target": target, "manifest": manifest, "decision": decision_hash}
            return _insert(cursor, made | {"position": position})

    def split(
        self,
        use_case: str,
        target: str,
        canary: str,
        decision_hash: str,
        share: float,
        *,
        expected: int,
        shadow: bool = False,
        position: int | None = None,
    ) -> int:
        """Wish that a second release answer a share of the requests beside the one that serves.

        :param expected: the newest generation, as whoever wishes knows it.
        :raises UserError: another generation is newest, another canary is under way, or a newer item was deployed.
        """
        with self.database.transaction() as cursor:
            newest = _locked(cursor, use_case, target)
            _require_expected(newest, expected, use_case, target)
            assert newest, "a generation was expected, and is the newest"
            _require_no_other(newest, canary, position)
            _require_newest(cursor, use_case, target, canary, position)
            made = {"use_case": use_case, "target": target, "manifest": newest.manifest, "decision": newest.decision}
            part = {"canary": canary, "canary_decision": decision_hash, "share": share, "shadow": shadow}
            return _insert(cursor, made | part | {"position": position})

    def wanted(self, *targets: str) -> list[Deployment]:
        """Return the newest wish of every use case at some targets; where nothing is wanted any more, none."""
        newest = "SELECT max(generation) FROM airlock.deployment WHERE target = ANY(%s) GROUP BY use_case, target"
        return self._select(
            f"WHERE generation IN ({newest}) AND manifest <> '' ORDER BY use_case, target", (list(targets),)
        )

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
        """Return the last deployment that became ready, staging apart."""
        found = self._select(
            "WHERE use_case = %s AND target <> %s AND ready IS NOT NULL ORDER BY generation DESC LIMIT 1",
            (use_case, STAGING),
        )
        return found[0] if found else None

    def served(self, use_case: str, target: str) -> list[Deployment]:
        """Return what served a use case at a target without a canary beside it, the newest first."""
        return self._select(
            "WHERE use_case = %s AND target = %s AND canary = '' AND manifest <> '' AND ready IS NOT NULL"
            " ORDER BY generation DESC",
            (use_case, target),
        )

    def all(self, use_case: str = "") -> list[Deployment]:
        """Return every wish, the newest first; of one use case when it is named."""
        return self._select("WHERE %s IN ('', use_case) ORDER BY generation DESC", (use_case,))

    def _select(self, rest: str, values: tuple[Any, ...]) -> list[Deployment]:
        with self.database.transaction() as cursor:
            cursor.execute(SELECT + rest, values)
            return [Deployment(**row) for row in cursor.fetchall()]


def _locked(cursor: Any, use_case: str, target: str) -> Deployment | None:
    """Return the newest wish; nobody else wishes for this use case and target until the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (f"{use_case}\n{target}",))
    cursor.execute(SELECT + " WHERE use_case = %s AND target = %s ORDER BY generation DESC LIMIT 1", (use_case, target))
    row = cursor.fetchone()
    return Deployment(**row) if row else None


def _insert(cursor: Any, fields: dict[str, Any]) -> int:
    nothing = {"canary": "", "canary_decision": "", "share": 0.0, "shadow": False, "created": time.time()}
    cursor.execute(INSERT, nothing | fields)
    return int(one(cursor)["generation"])


def _require_expected(newest: Deployment | None, expected: int | None, use_case: str, target: str) -> None:
    found = newest.generation if newest else 0
    if expected is not None and found != expected:
        raise UserError(
            f"Something else was deployed meanwhile: {use_case} at {target} is at generation {found}, not {expected}.",
            hint="Clear this task if it should be this release.",
        )


def _require_no_other(newest: Deployment, canary: str, position: int | None) -> None:
    if newest.canary in ("", canary):
        return
    if position is None or newest.position is None or position <= newest.position:
        raise UserError(
            f"{short(newest.canary)} is on its way at {newest.target} now, with {newest.share:.0%} of the requests.",
            hint=f"Wait for it, or end it with `airlock rollback {newest.use_case}`.",
        )


def _require_newest(cursor: Any, use_case: str, target: str, manifest: str, position: int | None) -> None:
    # A canary that was given up blocks nobody; one that is under way, as the newest wish, does.
    cursor.execute(
        "SELECT manifest, canary, position FROM airlock.deployment AS known WHERE use_case = %s AND target = %s"
        " AND position > %s AND (canary = '' OR generation = (SELECT max(generation) FROM airlock.deployment"
        " WHERE use_case = known.use_case AND target = known.target)) ORDER BY position DESC LIMIT 1",
        (use_case, target, position),
    )
    if newer := cursor.fetchone():
        raise UserError(
            f"Release {short(manifest)} was made from item {position} of the promotion queue, and "
            f"{short(newer['canary'] or newer['manifest'])} from the newer item {newer['position']} was deployed "
            "meanwhile: deployments never go backwards.",
            hint='To go back on purpose start a run that names its candidate: {"manifest": "sha256:…"}.',
        )
