"""Airflow hooks: a connection becomes a client of a store or service."""
