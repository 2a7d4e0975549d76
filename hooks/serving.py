"""Connection to a served model."""

from airlock.deployment.client import Prediction, predict
from airlock.hooks.address import AddressHook


class ServingHook(AddressHook):
    """Asks the models served at the connection's ``uri``."""

    conn_type = "airlock_serving"
    hook_name = "Airlock model server"
    setting = "serving"

    def get_conn(self) -> str:
        """Return the base URL."""
        return self.address

    def predict(self, use_case: str, image: bytes) -> Prediction:
        """Return the served model's answer for one encoded image."""
        return predict(f"{self.address}/{use_case}", image)
