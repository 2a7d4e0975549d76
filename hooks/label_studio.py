"""Connection to Label Studio."""

from typing import TYPE_CHECKING

from airlock.hooks.address import AddressHook
from airlock.settings import settings

if TYPE_CHECKING:
    from airlock.labeling.studio import Studio


class LabelStudioHook(AddressHook):
    """Opens the Label Studio server at the connection's ``uri``, with its password as the access token."""

    conn_type = "airlock_label_studio"
    hook_name = "Label Studio"
    setting = "label_studio"

    @property
    def token(self) -> str:
        """The access token, personal or legacy."""
        if self.conn_id is None:
            return settings().label_studio_token
        return self.get_connection(self.conn_id).password or ""

    def get_conn(self) -> "Studio":
        """Return a client."""
        from airlock.labeling.studio import Studio

        return Studio(self.address, self.token)

    def environment(self) -> dict[str, str]:
        """Return the variables that hand this connection to a step; none when the settings hold it anyway."""
        if self.conn_id is None:
            return {}
        return {"AIRLOCK_LABEL_STUDIO": self.address, "AIRLOCK_LABEL_STUDIO_TOKEN": self.token}
