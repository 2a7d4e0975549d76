"""A chain of ten bare tasks: what Airflow itself costs."""

from typing import Any

from airflow.sdk import DAG, task

LENGTH = 10


@task
def bare(value: int) -> int:
    """Give the number back, as the step does."""
    return value


with DAG("overhead_bare", schedule=None, catchup=False):
    last: Any = 0
    for _ in range(LENGTH):
        last = bare(last)
