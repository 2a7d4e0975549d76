"""Run by Alembic: the connection comes from :func:`airlock.stores.migrations.upgrade`."""

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
connection.execute(text("CREATE SCHEMA IF NOT EXISTS airlock"))
context.configure(connection=connection, version_table_schema="airlock")
with context.begin_transaction():
    context.run_migrations()
