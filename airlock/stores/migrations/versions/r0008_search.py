"""A schema for Optuna's own tables: hyperparameter search keeps its trials there."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the schema; the tables are Optuna's to make, as the application's role."""
    op.execute("CREATE SCHEMA IF NOT EXISTS optuna")
