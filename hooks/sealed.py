"""Connection to the sealed store: what could give away test data."""

import msgspec

from airlock.hooks.address import AddressHook
from airlock.settings import Settings, settings
from airlock.stores.artifacts import ArtifactStore, open_artifacts


class SealedHook(AddressHook):
    """Opens the sealed store at the connection's ``uri`` (``file:///…`` or ``s3://…``).

    The setting ``sealed`` may hold a connection's name (``airlock_sealed``) in place of a URI: then Airflow's own
    connections, and the secrets backend behind them, are the only place that knows the address.
    """

    conn_type = "airlock_sealed"
    hook_name = "Airlock sealed store"
    setting = "sealed"

    def __init__(self, conn_id: str | None = None) -> None:
        named = settings().sealed
        super().__init__(conn_id or (named if named and "://" not in named else None))

    def get_conn(self) -> ArtifactStore:
        """Return the store."""
        return open_artifacts(self.address)


def resolved_settings() -> Settings:
    """Return the settings with the sealed store's address looked up, for processes that are trusted with it."""
    return msgspec.structs.replace(settings(), sealed=SealedHook().address)
