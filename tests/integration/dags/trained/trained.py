"""A search and a training to disturb: where they run is configuration, everything else comes with the run."""

from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from airlock.operators.model import search, train

SPACE: dict[str, Any] = {"trials": 2, "vary": {"dropout": [0.1, 0.2]}}
GIVEN: dict[str, Any] = {
    "tensors": "{{ dag_run.conf['tensors'] }}",
    "code": str(Path(__file__).parent / "network.py"),
    "classes": [f"digit {number}" for number in range(10)],  # "0" would be rendered as a number
    "seed": "{{ dag_run.conf['seed'] }}",
    "experiment": "trained",
}
TRIAL: dict[str, Any] = {"epochs": 20, "batch_size": 32, "learning_rate": 0.001, "hog": "{{ dag_run.conf['hog'] }}"}
WHOLE = TRIAL | {"epochs": 120, "dropout": 0.1}

with DAG("trained", schedule=None, catchup=False, render_template_as_native_obj=True):
    found = search(parameters=TRIAL, space=SPACE, **GIVEN)
    found >> train(parameters=WHOLE, checkpoint_seconds=2, **GIVEN)
