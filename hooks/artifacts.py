"""Connection to the artifact store."""

import msgspec

from airlock.hooks.address import AddressHook
from airlock.hooks.sealed import resolved_settings
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.layers import open_layers


class ArtifactsHook(AddressHook):
    """Opens the artifact store at the connection's ``uri`` (``file:///…`` or ``s3://…``), and the sealed one behind
    it: whoever decides at a gate sees what the test showed.
    """

    conn_type = "airlock_artifacts"
    hook_name = "Airlock artifact store"
    setting = "artifacts"

    def get_conn(self) -> ArtifactStore:
        """Return the store."""
        return open_layers(msgspec.structs.replace(resolved_settings(), artifacts=self.address))
