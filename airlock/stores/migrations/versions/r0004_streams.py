"""What each stream of micro-batches has taken: an object once, and for every run its batch."""

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = """
CREATE TABLE airlock.stream_batch (
    stream text NOT NULL,
    run text NOT NULL,
    number bigint NOT NULL,
    artifact text NOT NULL,
    size bigint NOT NULL,
    rows bigint NOT NULL,
    duplicates bigint NOT NULL,
    objects bigint NOT NULL,
    created double precision NOT NULL,
    PRIMARY KEY (stream, run),
    UNIQUE (stream, number)
);
CREATE TABLE airlock.stream_object (
    stream text NOT NULL,
    object text COLLATE "C" NOT NULL,
    fingerprint text NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (stream, object),
    FOREIGN KEY (stream, number) REFERENCES airlock.stream_batch (stream, number)
);
"""


def upgrade() -> None:
    """Create both tables."""
    op.execute(TABLES)
