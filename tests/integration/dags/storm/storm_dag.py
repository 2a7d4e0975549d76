"""One gate for every manifest in the run's configuration, all at once."""

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airlock.operators.gate import GateOperator, policies

with DAG("storm", schedule=None, catchup=False) as dag:

    @task(retries=3, retry_delay=2.0)
    def asked(dag_run: Any = None) -> list[dict[str, Any]]:
        """What is asked about."""
        manifests: list[dict[str, Any]] = dag_run.conf["manifests"]
        return manifests

    policy = policies(Path(__file__).with_name("gates.json"))["storm"]
    gates = GateOperator.partial(task_id="storm_gate", use_case="storm", gate="storm", policy=policy)
    gates.expand(manifest=asked())
