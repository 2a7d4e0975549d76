"""What a step is told: the environment it starts with, wherever it runs."""

import os

from airlock.governance.authority import SECRET
from airlock.hooks.sealed import SealedHook
from airlock.settings import REFUSED, settings
from airlock.steps.context import WITHHELD
from airlock.steps.registry import is_sealed

AIRFLOW = ("AIRFLOW__", "_AIRFLOW", "AIRFLOW_CONN_", "AIRFLOW_VAR_")
TRAINING = "AIRLOCK_TRAINING_"
"""``AIRLOCK_TRAINING_AWS_ACCESS_KEY_ID`` and the like: what training-side steps get in place of the worker's own."""


def step_environment(step: str) -> dict[str, str]:
    """The worker's environment plus the settings, less what a step has no business with."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(AIRFLOW)}
    kept = {name: value for name, value in inherited.items() if name not in SECRET}
    own = {name: value for name, value in kept.items() if not name.startswith(TRAINING)} | settings().environment()
    if is_sealed(step):
        return own | {"AIRLOCK_SEALED": SealedHook().address}
    instead = {name.removeprefix(TRAINING): value for name, value in kept.items() if name.startswith(TRAINING)}
    return own | instead | {f"AIRLOCK_{name.upper()}": REFUSED for name in WITHHELD}
