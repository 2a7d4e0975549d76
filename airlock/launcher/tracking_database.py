"""Brings MLflow's tables to the installed version: ``python -m airlock.launcher.tracking_database``.

A new database is filled by the server itself; an old one it refuses. MLflow's own command takes the URL, with its
password, as an argument that every user of the machine could read.
"""

import os


def main() -> None:
    """Upgrade the database that ``MLFLOW_BACKEND_STORE_URI`` names."""
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine_with_retry

    _upgrade_db(create_sqlalchemy_engine_with_retry(os.environ["MLFLOW_BACKEND_STORE_URI"]))


if __name__ == "__main__":
    main()
