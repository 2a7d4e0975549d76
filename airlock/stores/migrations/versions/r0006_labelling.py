"""Answers know what kind they are, when and how they were given; hand-offs, what went wrong, and how labels were made.

Labels that came with their samples are of the kind ``source``; before this revision there were no others.
"""

from alembic import op

revision = "0006"
down_revision = "0004"

TABLES = """
ALTER TABLE airlock.label_answer
    ADD COLUMN kind text NOT NULL DEFAULT 'source' CHECK (kind IN ('source', 'label', 'adjudication')),
    ADD COLUMN reference text NOT NULL DEFAULT '',
    ADD COLUMN answered double precision,
    ADD COLUMN lead_time double precision,
    ADD COLUMN confidence double precision;
CREATE TABLE airlock.label_incident (
    key text PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY,
    dataset text NOT NULL,
    origin text NOT NULL,
    kind text NOT NULL,
    sample_id text NOT NULL,
    annotator text NOT NULL,
    detail text NOT NULL,
    body text NOT NULL,
    created double precision NOT NULL
);
CREATE INDEX ON airlock.label_incident (dataset, number);
CREATE TABLE airlock.label_handoff (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    server text NOT NULL,
    project bigint NOT NULL,
    created double precision NOT NULL,
    UNIQUE (name, server, project)
);
CREATE TABLE airlock.label_resolution (
    dataset text NOT NULL,
    version integer NOT NULL,
    digest text NOT NULL,
    rule jsonb NOT NULL,
    created double precision NOT NULL,
    PRIMARY KEY (dataset, version)
);
"""


def upgrade() -> None:
    """Add the columns and the tables."""
    op.execute(TABLES)
