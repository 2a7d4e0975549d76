"""Approved releases are promoted one run each, and deployed one after another."""

from airflow.sdk import DAG, Asset

from airlock.operators.deployment import deploy
from airlock.operators.promotion import claim, promote

RELEASED = Asset("orders_released")
QUEUE = "orders/deployment"

with DAG("orders_promotion", schedule=None, catchup=False, max_active_runs=1, render_template_as_native_obj=True):
    promote(
        use_case="orders", gate="release", queue=QUEUE, manifest="{{ dag_run.conf['manifest'] }}", outlets=[RELEASED]
    )

with DAG("orders_deployment", schedule=[RELEASED], catchup=False, max_active_runs=1):
    release = claim(use_case="orders", gate="release", queue=QUEUE)["manifest"]
    deploy(use_case="orders", manifest=release, gate="release")
