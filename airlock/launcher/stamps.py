"""Remembers what was already prepared, so that a second start does not prepare it again."""

from importlib.metadata import version
from pathlib import Path

import msgspec

import airlock
from airlock.digests import digest_document, digest_file
from airlock.launcher.layout import Layout

PACKAGE = Path(airlock.__file__).parent
SOURCES = ("launcher/databases.py", "plugins/bootstrap.py", "plugins/rights.py")


class Stamps(msgspec.Struct, frozen=True, kw_only=True):
    """What the databases were prepared for.

    :param bootstrap: digest over everything that the databases and their roles were prepared from.
    :param mlflow: version of MLflow that its tables fit.
    """

    bootstrap: str = ""
    mlflow: str = ""


def wanted_stamps(layout: Layout, cluster: str) -> Stamps:
    """Return the stamps of databases that are ready for this installation.

    :param cluster: PostgreSQL's own identifier of its data, so that new data is prepared anew.
    """
    parts = {
        "cluster": cluster,
        "users": digest_file(layout.demo_users),
        "passwords": digest_file(layout.secrets),
        "packages": {
            name: version(name) for name in ("apache-airflow-core", "apache-airflow-providers-fab", "airlock")
        },
        "sources": [digest_file(PACKAGE / source) for source in SOURCES],
    }
    return Stamps(bootstrap=digest_document(parts), mlflow=f"{version('mlflow')} {cluster}")


def read_stamps(layout: Layout) -> Stamps:
    """Return what is known to be prepared; nothing when in doubt."""
    try:
        return msgspec.json.decode(_path(layout).read_bytes(), type=Stamps)
    except (FileNotFoundError, msgspec.MsgspecError):
        return Stamps()


def write_stamps(layout: Layout, stamps: Stamps) -> None:
    """Remember what is prepared."""
    _path(layout).write_bytes(msgspec.json.encode(stamps))


def _path(layout: Layout) -> Path:
    return layout.run / "stamps.json"
