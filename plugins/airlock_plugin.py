"""What Airlock adds to Airflow's API server: the gate guard, pages for artifacts, and the links on tasks."""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airlock.operators.links import ENDPOINT, MANIFEST, MLFLOW_RUN, REPORT
from airlock.plugins.console import console
from airlock.plugins.guard import GateGuard


class AirlockPlugin(AirflowPlugin):
    """Registered by the entry point ``airflow.plugins``."""

    name = "airlock"
    fastapi_apps: list[Any] = [{"app": console, "url_prefix": "/airlock", "name": "Airlock"}]
    fastapi_root_middlewares: list[Any] = [
        {"middleware": GateGuard, "args": [], "kwargs": {}, "name": "Airlock gate guard"}
    ]
    operator_extra_links: list[Any] = [MLFLOW_RUN, REPORT, MANIFEST, ENDPOINT]
