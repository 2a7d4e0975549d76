"""Connection to the artifact store."""

from airlock.hooks.address import AddressHook
from airlock.stores.artifacts import ArtifactStore, open_artifacts


class ArtifactsHook(AddressHook):
    """Opens the artifact store at the connection's ``uri`` (``file:///…`` or ``s3://…``)."""

    conn_type = "airlock_artifacts"
    hook_name = "Airlock artifact store"
    setting = "artifacts"

    def get_conn(self) -> ArtifactStore:
        """Return the store."""
        return open_artifacts(self.address)
