"""The promotion queue between the pipelines: an approved manifest is worked on by exactly one run, in order.

What happens to an item:

- it *waits* from its promotion on, and the oldest is taken first;
- the run that *claims* it keeps it: its tasks may fail, be retried and be cleared, and work on the same item. A run
  that failed still has its item: clear what failed;
- a rework in the same pipeline takes the item over from the run whose gate asked for it;
- the item of a run that was *deleted* waits again, in its old place, for whichever run claims next; but when a newer
  one was deployed meanwhile it is finished as superseded, because deployments never go backwards;
- an item that still waits is finished as revised when a revision of its manifest is queued: that one takes its place;
- it is *finished* when its outcome is known: ``promoted``, ``deployed``, or how its gate request ended.
"""

import time

import msgspec

from airlock.stores.database import Database

COLUMNS = "id, queue, manifest, decision, outcome, dag, run"
DEPLOYED = "deployed"
REVISED = "revised"


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """An approved manifest on its way to the next pipeline.

    :param id: its position: items with a higher one are newer.
    :param manifest: its digest.
    :param decision: hash of the ledger record that approved it.
    :param outcome: what came of it; empty while it is worked on.
    :param dag: DAG of the run that claimed it; likewise ``run``.
    """

    id: int
    queue: str
    manifest: str
    decision: str
    outcome: str = ""
    dag: str | None = None
    run: str | None = None


class PromotionQueue:
    """Promotion queues, by name, in a database.

    :param database: Airlock's database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def put(self, queue: str, manifest: str, decision_hash: str, revises: str = "") -> bool:
        """Queue a manifest; return ``False`` when this decision already queued it.

        :param revises: the manifest whose place it takes, if that one still waits.
        """
        with self.database.transaction() as cursor:
            # One after the other, so that whoever is seen first has the lower position.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 2))", (queue,))
            cursor.execute(
                "INSERT INTO airlock.promotion (queue, manifest, decision, state, created)"
                " VALUES (%s, %s, %s, 'waiting', %s) ON CONFLICT (queue, manifest, decision) DO NOTHING",
                (queue, manifest, decision_hash, time.time()),
            )
            queued = cursor.rowcount == 1
            if revises:
                cursor.execute(
                    "UPDATE airlock.promotion SET state = 'finished', outcome = %s"
                    " WHERE queue = %s AND manifest = %s AND state = 'waiting'",
                    (REVISED, queue, revises),
                )
            return queued

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

    def take_over(self, queue: str, origin: tuple[str, str], dag: str, run: str) -> None:
        """Give a rework the item of the run whose gate asked for it, if that run has one.

        :param origin: DAG and run.
        """
        with self.database.transaction() as cursor:
            cursor.execute(
                "UPDATE airlock.promotion SET state = 'claimed', outcome = '', dag = %s, run = %s, claimed = %s"
                " WHERE queue = %s AND dag = %s AND run = %s",
                (dag, run, time.time(), queue, *origin),
            )

    def give_back(self, item: Item) -> str:
        """Let the item of a run that was deleted wait again; return its new state.

        When a newer one was deployed meanwhile it is finished as superseded.
        """
        with self.database.transaction() as cursor:
            cursor.execute(
                "UPDATE airlock.promotion AS mine SET dag = NULL, run = NULL, claimed = NULL,"
                " state = CASE WHEN newer.deployed THEN 'finished' ELSE 'waiting' END,"
                " outcome = CASE WHEN newer.deployed THEN 'superseded' ELSE '' END"
                " FROM (SELECT EXISTS (SELECT FROM airlock.promotion"
                " WHERE queue = %s AND id > %s AND outcome = %s) AS deployed) AS newer"
                " WHERE id = %s AND state = 'claimed' AND dag = %s AND run = %s RETURNING mine.state",
                (item.queue, item.id, DEPLOYED, item.id, item.dag, item.run),
            )
            row = cursor.fetchone()
            return str(row["state"]) if row else ""

    def finish(self, dag: str, run: str, outcome: str) -> None:
        """Say what came of the items that a run claimed; most runs have one, those of a first pipeline none."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "UPDATE airlock.promotion SET state = 'finished', outcome = %s WHERE dag = %s AND run = %s",
                (outcome, dag, run),
            )

    def of_run(self, dag: str, run: str) -> Item | None:
        """Return the item that a run works on; ``None`` for a run that named its manifest, or needs none."""
        found = self._select("dag = %s AND run = %s ORDER BY id DESC LIMIT 1", (dag, run))
        return found[0] if found else None

    def waiting(self, queue: str) -> list[Item]:
        """Return what nobody took yet, oldest first."""
        return self._select("queue = %s AND state = 'waiting' ORDER BY id", (queue,))

    def claimed(self, queue: str) -> list[Item]:
        """Return what is being worked on, oldest first."""
        return self._select("queue = %s AND state = 'claimed' ORDER BY id", (queue,))

    def overtaken(self) -> dict[tuple[str, str], Item]:
        """Return (DAG, run) of whoever works on something older than what waits, to the newest that waits."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "SELECT mine.dag AS of_dag, mine.run AS of_run, newer.* FROM airlock.promotion AS mine"
                f" JOIN LATERAL (SELECT {COLUMNS} FROM airlock.promotion AS waiting WHERE waiting.queue = mine.queue"
                " AND waiting.state = 'waiting' AND waiting.id > mine.id AND waiting.manifest <> mine.manifest"
                " ORDER BY waiting.id DESC LIMIT 1) AS newer ON true WHERE mine.state = 'claimed'"
            )
            return {(row.pop("of_dag"), row.pop("of_run")): Item(**row) for row in map(dict, cursor.fetchall())}

    def _select(self, where: str, values: tuple[object, ...]) -> list[Item]:
        with self.database.transaction() as cursor:
            cursor.execute(f"SELECT {COLUMNS} FROM airlock.promotion WHERE {where}", values)
            return [Item(**row) for row in cursor.fetchall()]
