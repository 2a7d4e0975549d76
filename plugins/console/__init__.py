"""Airlock's pages in Airflow: what people see before they open a gate, and what tasks link to."""
