"""Airflow's configuration file, tuned for one laptop.

Settings go into ``airflow.cfg`` (readable by its owner only) rather than the environment: task processes inherit
the environment, and have no business with database passwords and token keys.
"""

import json
from configparser import RawConfigParser
from io import StringIO
from pathlib import Path

from airlock.launcher.credentials import Secrets, write_private_text
from airlock.launcher.layout import Layout, Ports
from airlock.launcher.ports import HOST

AUTH_MANAGER = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
WORKERS = 10
TASKS_AT_ONCE = 4

Sections = dict[str, dict[str, str]]


def packaged_dags() -> Path:
    """Return the folder of the use cases that come with Airlock."""
    import airlock

    return (Path(airlock.__file__).parent / "dags").resolve()


def write_airflow_config(layout: Layout, ports: Ports, secrets: Secrets, database: str, dags: Path | None) -> Path:
    """Write ``airflow.cfg``.

    :param database: PostgreSQL URL of Airflow's own database.
    :param dags: a folder with the user's own DAGs, beside the packaged ones.
    """
    parser = RawConfigParser()
    for section, options in _sections(layout, ports, secrets, database, dags).items():
        parser[section] = {name: value.replace("%", "%%") for name, value in options.items()}  # Airflow interpolates
    text = StringIO()
    parser.write(text)
    path = layout.airflow / "airflow.cfg"
    write_private_text(path, text.getvalue())
    return path


def _sections(layout: Layout, ports: Ports, secrets: Secrets, database: str, dags: Path | None) -> Sections:
    url = f"http://{HOST}:{ports.airflow}"
    return {
        "core": {
            "auth_manager": AUTH_MANAGER,
            "execution_api_server_url": f"{url}/execution/",
            "executor": "LocalExecutor",
            # A worker is busy until its supervisor notices that the task's process has ended, so there are more of them
            # than tasks; all are forked at once and cost 8 to 25 MB each.
            "parallelism": str(WORKERS),
            "default_pool_task_slot_count": str(TASKS_AT_ONCE),
            "max_active_tasks_per_dag": str(TASKS_AT_ONCE),
            "dags_folder": str(dags or packaged_dags()),
            "dags_are_paused_at_creation": "False",
            "load_examples": "False",
            "hostname_callable": "socket.gethostname",  # the default asks DNS
            "fernet_key": secrets.fernet,
        },
        "database": {"sql_alchemy_conn": database, "load_default_connections": "False"},
        "api": {
            "base_url": url,
            "host": HOST,
            "port": str(ports.airflow),
            "workers": "1",
            "secret_key": secrets.session,
        },
        "api_auth": {"jwt_secret": secrets.jwt},
        "dag_processor": {
            "dag_bundle_config_list": json.dumps(_bundles(dags)),
            "parsing_processes": "1",
            "refresh_interval": "30",
        },
        # Nothing wakes the scheduler when a task ends: at Airflow's default of 1 s a step costs 1.2 s, at 0.1 s 0.4 s.
        # A supervisor that looks a moment too early sleeps this long before it sees that its task has ended: at the
        # default of 5 s all workers sleep after a few quick tasks, and gates are answered before they are parked.
        "workers": {"min_heartbeat_interval": "1"},
        # What a killed worker or scheduler was running starts again a minute later, not after five.
        "scheduler": {
            "scheduler_idle_sleep_time": "0.1",
            "use_job_schedule": "True",
            "orphaned_tasks_check_interval": "30",
            "task_instance_heartbeat_timeout": "60",
        },
        "logging": {
            "base_log_folder": str(layout.airflow / "logs"),
            "worker_log_server_port": str(ports.logs),
            "trigger_log_server_port": str(ports.logs),
        },
        # Roles are brought up to date by the bootstrap, once a version, not at every start of the API server.
        "fab": {"update_fab_perms": "False"},
    }


def _bundles(dags: Path | None) -> list[dict[str, object]]:
    folders = {"airlock": packaged_dags()} | ({"user": dags.absolute()} if dags else {})
    return [
        {"name": name, "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(folder), "refresh_interval": 30}}
        for name, folder in folders.items()
    ]
