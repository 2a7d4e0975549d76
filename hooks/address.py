"""What Airlock's hooks share: an address, from an Airflow connection when one is named, else from the settings."""

from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from airflow.sdk import BaseHook

from airlock.settings import settings


class AddressHook(BaseHook):
    """Base of the hooks. Without a connection the embedded stack's settings say where the service is.

    :param conn_id: Airflow connection; ``None`` for the settings.
    """

    conn_name_attr = "conn_id"
    setting: ClassVar[str] = ""
    """Field of :class:`airlock.settings.Settings` that holds the default address."""

    def __init__(self, conn_id: str | None = None) -> None:
        super().__init__()
        self.conn_id = conn_id

    @property
    def address(self) -> str:
        """URI of the store or service."""
        if self.conn_id is None:
            return str(getattr(settings(), self.setting))
        return self.address_of(self.get_connection(self.conn_id))

    @staticmethod
    def address_of(connection: Any) -> str:
        """URI that a connection holds."""
        return str(connection.extra_dejson.get("uri") or readable(connection.get_uri()))


def readable(uri: str) -> str:
    """Undo Airflow's encoding of the slashes in a connection's path: ``s3://bucket/a%2Fb``."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=parts.path.replace("%2F", "/")))
