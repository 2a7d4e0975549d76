"""Hints that something happened in a labelling project: PostgreSQL notifications, which may be lost without harm."""

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

from airlock.stores.database import open_database

if TYPE_CHECKING:
    from psycopg2.extensions import connection

CHANNEL = "airlock_labelling"


class Hints:
    """Notifications through Airlock's database.

    :param dsn: of any role.
    """

    def __init__(self, dsn: str) -> None:
        self.database = open_database(dsn)

    def send(self, project: int) -> None:
        """Tell whoever waits that something happened in a project."""
        with self.database.transaction() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, str(project)))

    async def next(self, project: int) -> None:
        """Return at the next hint about a project; never when the database does not answer."""
        import psycopg2

        try:
            with closing(await asyncio.to_thread(self._listen)) as link:
                while not await self._heard(link, project):
                    pass
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            await asyncio.Event().wait()  # polling goes on without hints

    def _listen(self) -> "connection":
        import psycopg2

        link = psycopg2.connect(self.database.dsn, connect_timeout=10, application_name="airlock")
        link.autocommit = True
        with link.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        return link

    async def _heard(self, link: "connection", project: int) -> bool:
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(link.fileno(), arrived.set)
        try:
            await arrived.wait()
        finally:
            loop.remove_reader(link.fileno())
        link.poll()
        found = any(item.payload == str(project) for item in link.notifies)
        link.notifies.clear()
        return found
