"""Streams of micro-batches: which objects of a growing folder or prefix were taken, and by which run."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from airlock.references import Artifact
from airlock.stores.database import Database, one

if TYPE_CHECKING:
    from psycopg2.extras import RealDictCursor

ASKED = 10_000


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What one run took.

    :param number: 1 for the stream's first batch.
    :param artifact: digest of its samples; ``size`` in bytes.
    :param rows: different samples; ``duplicates`` whose content came before in the batch.
    :param objects: how many were taken.
    """

    number: int
    artifact: str
    size: int
    rows: int
    duplicates: int
    objects: int


class StreamStore:
    """The streams of a database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @contextmanager
    def turn(self, stream: str) -> Iterator["Turn"]:
        """Take the stream's turn: until the end nobody else takes of it, and what is committed is committed whole.

        A process that is killed has taken nothing: its connection is gone, and its turn with it.
        """
        with self.database.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 4))", (stream,))
            yield Turn(cursor, stream)

    def batches(self, stream: str) -> list[Batch]:
        """Return a stream's batches, oldest first."""
        with self.database.transaction() as cursor:
            cursor.execute(f"{SELECT} WHERE stream = %s ORDER BY number", (stream,))
            return [Batch(**row) for row in cursor.fetchall()]


SELECT = "SELECT number, artifact, size, rows, duplicates, objects FROM airlock.stream_batch"


class Turn:
    """A stream, held by one run."""

    def __init__(self, cursor: "RealDictCursor", stream: str) -> None:
        self.cursor = cursor
        self.stream = stream

    def batch_of(self, run: str) -> Batch | None:
        """Return what a run took before it was killed or cleared: it gets the same again."""
        self.cursor.execute(f"{SELECT} WHERE stream = %s AND run = %s", (self.stream, run))
        row = self.cursor.fetchone()
        return Batch(**row) if row else None

    def taken(self, objects: Sequence[str]) -> dict[str, str]:
        """Return which of these objects were taken, each with the fingerprint it had then."""
        found: dict[str, str] = {}
        for start in range(0, len(objects), ASKED):
            self.cursor.execute(
                "SELECT object, fingerprint FROM airlock.stream_object WHERE stream = %s AND object = ANY (%s)",
                (self.stream, list(objects[start : start + ASKED])),
            )
            found |= {row["object"]: row["fingerprint"] for row in self.cursor.fetchall()}
        return found

    def commit(self, run: str, objects: Sequence[tuple[str, str]], artifact: Artifact, rows: int, again: int) -> Batch:
        """Note a batch whose samples are safe in the artifact store.

        :param objects: name and fingerprint of each.
        :param again: samples whose content came before in the batch.
        """
        from psycopg2.extras import execute_values

        self.cursor.execute(
            "INSERT INTO airlock.stream_batch (stream, run, number, artifact, size, rows, duplicates, objects, created)"
            " SELECT %s, %s, coalesce(max(number), 0) + 1, %s, %s, %s, %s, %s, %s FROM airlock.stream_batch"
            " WHERE stream = %s RETURNING number, artifact, size, rows, duplicates, objects",
            (
                *(self.stream, run, artifact.digest, artifact.size, rows, again, len(objects), time.time()),
                self.stream,
            ),
        )
        batch = Batch(**one(self.cursor))
        taken = [(self.stream, name, fingerprint, batch.number) for name, fingerprint in objects]
        statement = "INSERT INTO airlock.stream_object (stream, object, fingerprint, number) VALUES %s"
        execute_values(self.cursor, statement, taken, page_size=ASKED)
        return batch
