"""Ledger, gates, promotion queue, deployments and labels. Times are seconds since the epoch."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE airlock.ledger (
    seq bigint PRIMARY KEY CHECK (seq > 0),
    kind text NOT NULL CHECK (kind IN ('decision', 'promotion', 'deployment', 'rollback', 'void')),
    use_case text NOT NULL,
    body text NOT NULL,
    previous text NOT NULL UNIQUE,
    hash text NOT NULL UNIQUE,
    key_id text NOT NULL,
    signature text NOT NULL,
    created double precision NOT NULL,
    CHECK (kind <> 'decision' OR signature <> '')
);
CREATE TABLE airlock.gate_request (
    number bigint GENERATED ALWAYS AS IDENTITY,
    id text PRIMARY KEY,
    use_case text NOT NULL,
    gate text NOT NULL,
    dag text NOT NULL,
    run text NOT NULL,
    task text NOT NULL,
    map_index integer NOT NULL,
    manifest text NOT NULL,
    evidence text NOT NULL,
    policy jsonb NOT NULL,
    policy_digest text NOT NULL,
    submitter text NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'approved', 'rejected', 'expired', 'withdrawn', 'superseded')),
    created double precision NOT NULL
);
CREATE INDEX ON airlock.gate_request (dag, run, task, map_index);
CREATE INDEX ON airlock.gate_request (number) WHERE state = 'open';
CREATE TABLE airlock.gate_answer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request text NOT NULL REFERENCES airlock.gate_request,
    body jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('prepared', 'recorded', 'void')),
    created double precision NOT NULL
);
CREATE INDEX ON airlock.gate_answer (id) WHERE state = 'prepared';
CREATE TABLE airlock.promotion (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL,
    manifest text NOT NULL,
    decision text NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'claimed', 'finished')),
    dag text,
    run text,
    outcome text NOT NULL DEFAULT '',
    created double precision NOT NULL,
    claimed double precision,
    UNIQUE (queue, manifest, decision),
    UNIQUE (queue, dag, run)
);
CREATE INDEX ON airlock.promotion (queue, id) WHERE state = 'waiting';
CREATE TABLE airlock.deployment (
    generation bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    use_case text NOT NULL,
    target text NOT NULL,
    manifest text NOT NULL,
    decision text NOT NULL,
    created double precision NOT NULL
);
CREATE INDEX ON airlock.deployment (target, use_case, generation);
CREATE TABLE airlock.observation (
    generation bigint PRIMARY KEY REFERENCES airlock.deployment,
    state text NOT NULL,
    endpoint text NOT NULL,
    detail text NOT NULL,
    seen double precision NOT NULL,
    ready double precision
);
CREATE TABLE airlock.label_answer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset text NOT NULL,
    sample_id text NOT NULL,
    annotator text NOT NULL,
    label text NOT NULL,
    origin text NOT NULL,
    created double precision NOT NULL
);
CREATE INDEX ON airlock.label_answer (dataset, sample_id, annotator, id DESC);
CREATE TABLE airlock.label_set (
    digest text NOT NULL,
    dataset text NOT NULL,
    rows bigint NOT NULL,
    created double precision NOT NULL,
    PRIMARY KEY (digest, dataset)
);
CREATE TABLE airlock.label_entry (
    digest text NOT NULL,
    sample_id text COLLATE "C" NOT NULL,
    label text NOT NULL,
    PRIMARY KEY (digest, sample_id)
);
"""

# ENABLE ALWAYS: also in a session that replays replication, where ordinary triggers rest.
APPEND_ONLY = """
CREATE FUNCTION airlock.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on airlock.% is refused: its records are never changed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON airlock.{table}
    FOR EACH STATEMENT EXECUTE FUNCTION airlock.refuse_change();
ALTER TABLE airlock.{table} ENABLE ALWAYS TRIGGER append_only;
"""


def upgrade() -> None:
    """Create every table."""
    op.execute(TABLES)
    op.execute(APPEND_ONLY.format(table="ledger"))
