"""What a step is told: the environment it starts with, wherever it runs."""

import os

from airlock.governance.authority import SECRET
from airlock.settings import settings


def step_environment() -> dict[str, str]:
    """The worker's environment plus the settings, less what a step has no business with."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW__", "_AIRFLOW"))}
    kept = {name: value for name, value in inherited.items() if name not in SECRET}
    return kept | settings().environment()
