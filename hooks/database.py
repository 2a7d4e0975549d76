"""Connection to Airlock's own PostgreSQL database: ledger, gate requests, promotion queue, deployments, labels."""

from airlock.hooks.address import AddressHook
from airlock.stores.database import Database, open_database


class DatabaseHook(AddressHook):
    """Opens the database at the connection's ``uri`` (``postgresql://…``), as the application's role."""

    conn_type = "airlock_database"
    hook_name = "Airlock database"
    setting = "database"

    def get_conn(self) -> Database:
        """Return the database."""
        return open_database(self.address)
