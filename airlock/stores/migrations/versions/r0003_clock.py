"""Reminders know their kind, and deployments their place in the promotion queue."""

from alembic import op

revision = "0003"
down_revision = "0002"

CLOCK = """
ALTER TABLE airlock.reminder ADD COLUMN kind text NOT NULL DEFAULT 'reminder';
ALTER TABLE airlock.reminder DROP CONSTRAINT reminder_pkey;
ALTER TABLE airlock.reminder ADD PRIMARY KEY (request, kind);
ALTER TABLE airlock.deployment ADD COLUMN position bigint;
"""


def upgrade() -> None:
    """Say what a reminder was, and which item of the queue a deployment came from; older ones came from none."""
    op.execute(CLOCK)
