"""The ledger takes its records as signed text, appended by functions; requests and policies live in it.

A ledger of revision 0001 stays readable as ``ledger_0001``; its approvals do not count any more, so gates ask again.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

LEDGER = """
ALTER TABLE airlock.ledger RENAME TO ledger_0001;
DROP TABLE airlock.gate_answer;
DROP TABLE airlock.gate_request;
CREATE TABLE airlock.ledger (
    seq bigint PRIMARY KEY,
    record text NOT NULL,
    hash text NOT NULL UNIQUE,
    signature text NOT NULL,
    kind text NOT NULL GENERATED ALWAYS AS (record::jsonb ->> 'kind') STORED,
    use_case text NOT NULL GENERATED ALWAYS AS (record::jsonb ->> 'use_case') STORED,
    request text GENERATED ALWAYS AS (record::jsonb #>> '{body,request}') STORED
);
CREATE INDEX ON airlock.ledger (request, kind) WHERE request IS NOT NULL;
CREATE INDEX ON airlock.ledger ((record::jsonb #>> '{body,dag}'), (record::jsonb #>> '{body,run}'))
    WHERE kind = 'request';
CREATE INDEX ON airlock.ledger (kind, use_case, seq);
CREATE TABLE airlock.gate_answer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request text NOT NULL,
    body jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('prepared', 'recorded', 'void')),
    created double precision NOT NULL
);
CREATE INDEX ON airlock.gate_answer (id) WHERE state = 'prepared';
CREATE TABLE airlock.reminder (
    request text PRIMARY KEY,
    created double precision NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON airlock.ledger
    FOR EACH STATEMENT EXECUTE FUNCTION airlock.refuse_change();
ALTER TABLE airlock.ledger ENABLE ALWAYS TRIGGER append_only;
"""

# Whoever may only call these cannot break the chain: not its order, not its links, not the shape of a record.
APPEND = """
CREATE FUNCTION airlock.append_any(covered text, signature text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    fields jsonb := covered::jsonb;
    name text := 'sha256:' || encode(sha256(convert_to(covered, 'UTF8')), 'hex');
    last_seq bigint;
    last_hash text;
BEGIN
    PERFORM pg_advisory_xact_lock(1634300466);
    SELECT seq, hash INTO last_seq, last_hash FROM airlock.ledger ORDER BY seq DESC LIMIT 1;
    IF length(covered) > 1048576
        OR (SELECT array_agg(k ORDER BY k COLLATE "C") FROM jsonb_object_keys(fields) AS k)
            <> ARRAY['body', 'created', 'key_id', 'kind', 'previous', 'seq', 'use_case']
        OR jsonb_typeof(fields -> 'body') <> 'object' OR jsonb_typeof(fields -> 'created') <> 'number'
        OR abs(extract(epoch FROM clock_timestamp()) - (fields ->> 'created')::double precision) > 300
        OR jsonb_typeof(fields -> 'seq') <> 'number' OR jsonb_typeof(fields -> 'use_case') <> 'string'
        OR jsonb_typeof(fields -> 'previous') <> 'string' OR jsonb_typeof(fields -> 'key_id') <> 'string'
        OR fields ->> 'use_case' IS DISTINCT FROM fields #>> '{body,use_case}'
        OR (fields ->> 'key_id' = '') <> (signature = '')
    THEN
        RAISE EXCEPTION 'not a ledger record' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF fields ->> 'seq' <> (coalesce(last_seq, 0) + 1)::text OR fields ->> 'previous' <> coalesce(last_hash, '') THEN
        RAISE EXCEPTION 'the record does not follow the last one' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO airlock.ledger (seq, record, hash, signature)
        VALUES ((fields ->> 'seq')::bigint, covered, name, signature);
    RETURN name;
END $$;
REVOKE ALL ON FUNCTION airlock.append_any(text, text) FROM PUBLIC;

CREATE FUNCTION airlock.append(covered text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(covered::jsonb ->> 'kind', '') NOT IN ('request', 'promotion', 'deployment', 'rollback') THEN
        RAISE EXCEPTION 'only the guard appends this kind' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- As deep as brackets are many: nobody's reader is to run out of stack, nor of digits (Python's ends at 4300).
    IF length(covered) - length(translate(covered, '[{', '')) > 200 OR length(covered) > 65536
        OR covered ~ '[0-9]{255}'
    THEN
        RAISE EXCEPTION 'not a ledger record' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN airlock.append_any(covered, '');
END $$;
REVOKE ALL ON FUNCTION airlock.append(text) FROM PUBLIC;

CREATE FUNCTION airlock.append_signed(covered text, signature text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(covered::jsonb ->> 'kind', '') NOT IN ('policy', 'decision', 'closed', 'void') OR signature = '' THEN
        RAISE EXCEPTION 'this kind is not signed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN airlock.append_any(covered, signature);
END $$;
REVOKE ALL ON FUNCTION airlock.append_signed(text, text) FROM PUBLIC;
"""


def upgrade() -> None:
    """Replace the ledger and what requests and answers were kept in."""
    op.execute(LEDGER.replace(":", r"\:"))
    op.execute(APPEND.replace(":", r"\:"))
