"""MLflow's tracking server in one process: ``python -m airlock.launcher.tracking PORT [upgrade]``.

``mlflow server`` is a process of 200 MB that starts another and waits for it, and imports everything twice. This
sets what it would set, from the public variables ``MLFLOW_BACKEND_STORE_URI`` and ``MLFLOW_ARTIFACTS_DESTINATION``.
"""

import os
import sys
import uuid

import uvicorn  # before MLflow, which looks for it to know that it is a server and switches its host check on

from airlock.launcher.ports import HOST


def serve(port: int) -> None:
    """Serve on 127.0.0.1 until SIGTERM; artifacts go through the server."""
    from mlflow.environment_variables import _MLFLOW_SERVER_BOOT_ID, _MLFLOW_SGI_NAME
    from mlflow.server import constants

    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: os.environ["MLFLOW_BACKEND_STORE_URI"],
        constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: os.environ["MLFLOW_ARTIFACTS_DESTINATION"],
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        _MLFLOW_SGI_NAME.name: "uvicorn",
        _MLFLOW_SERVER_BOOT_ID.name: uuid.uuid4().hex,
    }
    uvicorn.run("mlflow.server.fastapi_app:app", host=HOST, port=port, access_log=False)


def upgrade() -> None:
    """Make MLflow's tables, or bring them to the installed version.

    MLflow's own command takes the URL, with its password, as an argument that every user of the machine could read.
    """
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine_with_retry

    engine = create_sqlalchemy_engine_with_retry(os.environ["MLFLOW_BACKEND_STORE_URI"])
    _initialize_tables(engine)
    engine.dispose()


if __name__ == "__main__":
    if sys.argv[2:] == ["upgrade"]:
        upgrade()
    serve(int(sys.argv[1]))
