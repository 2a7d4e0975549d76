"""Connection to the experiment and model registry (MLflow)."""

from airlock.hooks.address import AddressHook
from airlock.model.registry import Registry


class TrackingHook(AddressHook):
    """Opens the MLflow tracking server at the connection's ``uri`` (``http://…``), without importing MLflow."""

    conn_type = "airlock_tracking"
    hook_name = "MLflow tracking server"
    setting = "tracking"

    def get_conn(self) -> Registry:
        """Return the registry of runs and model versions."""
        return Registry(self.address)
