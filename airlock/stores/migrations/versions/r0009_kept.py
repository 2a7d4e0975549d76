"""The ledger takes one more kind that needs no signature: a champion that was kept."""

from alembic import op

revision = "0009"
down_revision = "0008"

APPEND = """
CREATE OR REPLACE FUNCTION airlock.append(covered text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(covered::jsonb ->> 'kind', '') NOT IN ('request', 'promotion', 'deployment', 'rollback', 'kept') THEN
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
    """Replace the function; who may call it stays as it was."""
    op.execute(APPEND.replace(":", r"\:"))
