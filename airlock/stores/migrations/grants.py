"""What the application role may do, table by table: least rights, and history that only grows."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg2 import extensions

# Everything is read and added to. Only these columns ever change.
APPEND_ONLY = ("ledger", "label_answer", "label_set", "label_entry", "deployment")
UPDATABLE = {
    "gate_request": ("state",),
    "gate_answer": ("state",),
    "promotion": ("state", "dag", "run", "outcome", "claimed"),
    "observation": ("state", "endpoint", "detail", "seen", "ready"),
}


def grant(cursor: "extensions.cursor", role: str) -> None:
    """Give a role exactly these rights on the schema ``airlock``."""
    from psycopg2 import sql

    name = sql.Identifier(role)
    cursor.execute(sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA airlock FROM {}").format(name))
    for table in (*APPEND_ONLY, *UPDATABLE):
        on = sql.Identifier("airlock", table)
        cursor.execute(sql.SQL("GRANT SELECT, INSERT ON {} TO {}").format(on, name))
    for table, columns in UPDATABLE.items():
        what = sql.SQL(", ").join(map(sql.Identifier, columns))
        on = sql.Identifier("airlock", table)
        cursor.execute(sql.SQL("GRANT UPDATE ({}) ON {} TO {}").format(what, on, name))
    cursor.execute(sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA airlock TO {}").format(name))
    cursor.execute(sql.SQL("GRANT SELECT ON airlock.alembic_version TO {}").format(name))
    # Last: its presence is how an up-to-date database is recognised.
    cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA airlock TO {}").format(name))
