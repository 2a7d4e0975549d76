"""The promotion queue between the pipelines: an approved manifest is worked on by exactly one run, in order."""

import time

import msgspec

from airlock.stores.database import Database

COLUMNS = "id, queue, manifest, decision, outcome"


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """An approved manifest on its way to the next pipeline.

    :param manifest: its digest.
    :param decision: hash of the ledger record that approved it.
    :param outcome: what came of it; empty while it is worked on.
    """

    id: int
    queue: str
    manifest: str
    decision: str
    outcome: str = ""


class PromotionQueue:
    """Promotion queues, by name, in a database.

    :param database: Airlock's database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def put(self, queue: str, manifest: str, decision_hash: str) -> bool:
        """Queue a manifest; return ``False`` when this decision already queued it."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO airlock.promotion (queue, manifest, decision, state, created)"
                " VALUES (%s, %s, %s, 'waiting', %s) ON CONFLICT (queue, manifest, decision) DO NOTHING",
                (queue, manifest, decision_hash, time.time()),
            )
            return cursor.rowcount == 1

    def claim(self, queue: str, dag: str, run: str) -> Item | None:
        """Take the oldest waiting item for a run; ``None`` when nothing waits.

        A run has one item: when its tasks are cleared and run again it gets the same one.
        """
        with self.database.transaction() as cursor:
            # Two claims of one run at the same moment must not take two items.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{queue}\n{dag}\n{run}",))
            mine = f"SELECT {COLUMNS} FROM airlock.promotion WHERE queue = %s AND dag = %s AND run = %s"
            cursor.execute(mine, (queue, dag, run))
            row = cursor.fetchone()
            if row is None:
                cursor.execute(
                    "UPDATE airlock.promotion SET state = 'claimed', dag = %s, run = %s, claimed = %s WHERE id ="
                    " (SELECT id FROM airlock.promotion WHERE queue = %s AND state = 'waiting'"
                    f" ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING {COLUMNS}",
                    (dag, run, time.time(), queue),
                )
                row = cursor.fetchone()
            return Item(**row) if row else None

    def finish(self, item_id: int, outcome: str) -> None:
        """Say what came of an item."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "UPDATE airlock.promotion SET state = 'finished', outcome = %s WHERE id = %s", (outcome, item_id)
            )

    def waiting(self, queue: str) -> list[Item]:
        """Return what nobody took yet, oldest first."""
        with self.database.transaction() as cursor:
            cursor.execute(
                f"SELECT {COLUMNS} FROM airlock.promotion WHERE queue = %s AND state = 'waiting' ORDER BY id", (queue,)
            )
            return [Item(**row) for row in cursor.fetchall()]
