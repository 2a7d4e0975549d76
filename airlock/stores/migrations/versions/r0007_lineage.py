"""What each run of a step took and gave, by digest."""

from alembic import op

revision = "0007"
down_revision = "0006"

TABLES = """
CREATE TABLE airlock.lineage_edge (
    execution text NOT NULL,
    step text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('input', 'output')),
    node text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    field text NOT NULL,
    created double precision NOT NULL,
    PRIMARY KEY (execution, direction, node, field)
);
CREATE INDEX ON airlock.lineage_edge (node);
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(TABLES)
