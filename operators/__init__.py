"""Airflow operators: a step mixin times a place, and the gate."""
