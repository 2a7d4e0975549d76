"""Airlock: the deep-learning lifecycle on Airflow, with gates only the right people can open."""

__version__ = "0.1.0"
