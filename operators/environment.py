"""What a step is told: the environment it starts with, wherever it runs."""

import os

from airlock.settings import settings


def step_environment() -> dict[str, str]:
    """The worker's environment plus the settings, less what a step has no business with."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW__", "_AIRFLOW"))}
    inherited.pop("AIRLOCK_SIGNING_KEY_FILE", None)
    return inherited | settings().environment()
