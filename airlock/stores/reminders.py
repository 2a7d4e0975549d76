"""Which reminders were delivered, so that nobody is reminded twice of one request."""

import time
from collections.abc import Collection
from typing import Literal

from airlock.stores.database import Database

Kind = Literal["reminder", "escalation"]


class Reminders:
    """Delivered reminders in a database.

    :param database: Airlock's database, as the guard's role.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def delivered(self, requests: Collection[str]) -> set[tuple[str, str]]:
        """Return (request, kind) of what was delivered about some requests."""
        with self.database.transaction() as cursor:
            cursor.execute("SELECT request, kind FROM airlock.reminder WHERE request = ANY(%s)", (list(requests),))
            return {(row["request"], row["kind"]) for row in cursor.fetchall()}

    def add(self, request: str, kind: Kind) -> None:
        """Say that one was delivered."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO airlock.reminder (request, kind, created) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (request, kind, time.time()),
            )
