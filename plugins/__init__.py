"""The Airflow plugin: gate guard, pages and links."""
