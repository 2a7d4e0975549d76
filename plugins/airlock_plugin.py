"""What Airlock adds to Airflow's API server: the gate guard, the Gates pages, and the links on tasks."""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airlock.operators.links import ENDPOINT, LABELLING, MANIFEST, MLFLOW_RUN, REPORT
from airlock.plugins.console.app import console
from airlock.plugins.guard import GateGuard

ICON = "airlock/static/gate.svg"
PLACE = "airlock/gates/at?dag={DAG_ID}&run={RUN_ID}&task={TASK_ID}&map_index={MAP_INDEX}"


class AirlockPlugin(AirflowPlugin):
    """Registered by the entry point ``airflow.plugins``."""

    name = "airlock"
    fastapi_apps: list[Any] = [{"app": console, "url_prefix": "/airlock", "name": "Airlock"}]
    fastapi_root_middlewares: list[Any] = [
        {"middleware": GateGuard, "args": [], "kwargs": {}, "name": "Airlock gate guard"}
    ]
    # Addresses are relative to Airflow's own, wherever it is served.
    external_views: list[Any] = [
        {"name": "Gates", "href": "airlock/gates", "url_route": "gates", "destination": "nav", "icon": ICON},
        {"name": "Gate", "href": PLACE, "url_route": "gate", "destination": "task_instance", "icon": ICON},
    ]
    operator_extra_links: list[Any] = [MLFLOW_RUN, REPORT, MANIFEST, ENDPOINT, LABELLING]
