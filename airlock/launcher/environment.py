"""The environment of every process that the stack starts."""

import os

from airlock.governance.authority import SECRET
from airlock.settings import Settings

DROPPED = ("PYTHONDONTWRITEBYTECODE", "MLFLOW_TRACKING_URI", *SECRET)
DROPPED_PREFIXES = ("AIRFLOW_", "_AIRFLOW", "_MLFLOW_SERVER", "AIRLOCK_SERVICE")
LOOPBACK = "127.0.0.1,localhost"


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the caller's environment without what would change the services, and with Airlock's settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in DROPPED and not name.startswith(DROPPED_PREFIXES)
    }
    return kept | settings.environment() | _fixed(kept)


def _fixed(kept: dict[str, str]) -> dict[str, str]:
    direct = ",".join(filter(None, (kept.get("NO_PROXY") or kept.get("no_proxy"), LOOPBACK)))
    return {
        "NO_PROXY": direct,
        "no_proxy": direct,
        "PYTHONUNBUFFERED": "1",  # a killed service's last words are in its log
        "MALLOC_ARENA_MAX": "2",  # many threads, little memory
        "SPT_NOENV": "1",  # setproctitle must leave the environment alone: processes are found by it
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GX_ANALYTICS_ENABLED": "false",
    }
