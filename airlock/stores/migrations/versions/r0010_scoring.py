"""What served models predicted, and what turned out to be true."""

from alembic import op

revision = "0010"
down_revision = "0009"

TABLES = """
CREATE TABLE airlock.prediction (
    id text COLLATE "C" PRIMARY KEY,
    use_case text NOT NULL,
    manifest text NOT NULL,
    time double precision NOT NULL,
    input text NOT NULL,
    outputs jsonb NOT NULL,
    label text,
    probability double precision,
    latency double precision NOT NULL,
    status integer NOT NULL,
    payload text
);
CREATE INDEX ON airlock.prediction (use_case, time);
CREATE TABLE airlock.prediction_truth (
    id text COLLATE "C" PRIMARY KEY,
    use_case text NOT NULL,
    prediction text COLLATE "C" NOT NULL,
    truth jsonb NOT NULL,
    time double precision NOT NULL
);
CREATE INDEX ON airlock.prediction_truth (prediction, time);
"""


def upgrade() -> None:
    """Create the tables."""
    op.execute(TABLES)
