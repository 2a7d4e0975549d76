"""``airlock demo``: one use case from raw data to a served model, over Airflow's public API."""

from airlock.demo.tour import run_demo

__all__ = ["run_demo"]
