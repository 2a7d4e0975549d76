"""The embedded stack: PostgreSQL, MLflow, Airflow and the serving reconciler, started and stopped as one."""
