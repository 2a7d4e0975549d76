"""What the two roles may do, table by table: least rights, and history that only grows.

The application's role is what tasks, steps and the reconciler connect as. The guard's role is the API server's: it
may also append signed records and write answers ahead.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg2 import extensions

# Everything is read. What is added to is never changed, but for these columns. The ledger has functions instead.
READ_ONLY = ("ledger", "ledger_0001", "gate_answer", "reminder", "alembic_version")
APPEND_ONLY = (
    "label_answer",
    "label_set",
    "label_entry",
    "deployment",
    "lineage_edge",
    "stream_batch",
    "stream_object",
    "label_incident",
    "label_handoff",
    "label_resolution",
    "prediction",
    "prediction_truth",
)
UPDATABLE = {
    "promotion": ("state", "dag", "run", "outcome", "claimed"),
    "observation": ("state", "endpoint", "detail", "seen", "ready"),
}


def grant(cursor: "extensions.cursor", application: str, guard: str) -> None:
    """Give the two roles exactly these rights on the schema ``airlock``; in ``optuna``, steps make their own tables."""
    from psycopg2 import sql

    app, api = sql.Identifier(application), sql.Identifier(guard)

    def run(statement: str, *parts: sql.Composable) -> None:
        cursor.execute(sql.SQL(statement).format(*parts))

    def on(table: str) -> sql.Identifier:
        return sql.Identifier("airlock", table)

    for role in (app, api):
        run("REVOKE ALL ON ALL TABLES IN SCHEMA airlock FROM {}", role)
        for table in (*READ_ONLY, *APPEND_ONLY, *UPDATABLE):
            run("GRANT SELECT ON {} TO {}", on(table), role)
        run("GRANT EXECUTE ON FUNCTION airlock.append(text) TO {}", role)
        run("GRANT USAGE ON ALL SEQUENCES IN SCHEMA airlock TO {}", role)
    for table in (*APPEND_ONLY, *UPDATABLE):
        run("GRANT INSERT ON {} TO {}", on(table), app)
    for table, columns in UPDATABLE.items():
        run("GRANT UPDATE ({}) ON {} TO {}", sql.SQL(", ").join(map(sql.Identifier, columns)), on(table), app)
    run("GRANT USAGE, CREATE ON SCHEMA optuna TO {}", app)
    run("GRANT EXECUTE ON FUNCTION airlock.append_signed(text, text) TO {}", api)
    run("GRANT INSERT, UPDATE (state) ON {} TO {}", on("gate_answer"), api)
    run("GRANT INSERT ON {} TO {}", on("reminder"), api)
    # Last: its presence is how an up-to-date database is recognised.
    for role in (app, api):
        run("GRANT USAGE ON SCHEMA airlock TO {}", role)
