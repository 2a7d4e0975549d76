"""A wish may name a second release that takes a share of requests; the ledger takes what happens to such rollouts."""

from alembic import op

revision = "0011"
down_revision = "0010"

TABLES = """
ALTER TABLE airlock.deployment
    ADD COLUMN canary text NOT NULL DEFAULT '',
    ADD COLUMN canary_decision text NOT NULL DEFAULT '',
    ADD COLUMN share double precision NOT NULL DEFAULT 0 CHECK (share BETWEEN 0 AND 1),
    ADD COLUMN shadow boolean NOT NULL DEFAULT false,
    ADD CHECK (canary <> '' OR (share = 0 AND NOT shadow));
"""
APPEND = """
CREATE OR REPLACE FUNCTION airlock.append(covered text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(covered::jsonb ->> 'kind', '')
        NOT IN ('request', 'promotion', 'deployment', 'rollout', 'rollback', 'kept')
    THEN
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
"""


def upgrade() -> None:
    """Add the columns and replace the function; who may use them stays as it was."""
    op.execute(TABLES)
    op.execute(APPEND.replace(":", r"\:"))
