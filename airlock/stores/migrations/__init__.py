"""The tables of the schema ``airlock``: brought up to date by an owner role, used by an application role.

A revision is a file ``versions/r0001_what.py``. An up-to-date database is recognised with one query, because
this lies on the path of every ``airlock up``: Alembic and SQLAlchemy are imported only when there is work.
"""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from airlock.errors import InfrastructureError, UserError
from airlock.stores.migrations.grants import grant

if TYPE_CHECKING:
    from psycopg2.extensions import connection

FOLDER = Path(__file__).parent
# Two processes that start at once migrate one after the other.
LOCK = 0x61697231


def head() -> str:
    """Return the newest revision there is a file for."""
    return max(path.stem[1:5] for path in (FOLDER / "versions").glob("r[0-9]*.py"))


def upgrade(owner_dsn: str, app_role: str, guard_role: str) -> bool:
    """Bring the schema up to date and give the two roles their rights; return whether there was work.

    :param owner_dsn: DSN of the role that owns the schema.
    :param app_role: name of the existing role that everything but the API server connects as.
    :param guard_role: name of the API server's existing role.
    :raises InfrastructureError: the database does not answer.
    :raises UserError: the database is newer than this Airlock.
    """
    import psycopg2

    try:
        link = psycopg2.connect(owner_dsn, connect_timeout=10)
    except psycopg2.OperationalError as error:
        raise InfrastructureError(
            f"The database cannot be migrated: {_first_line(error)}.", hint="See `airlock status`."
        ) from error
    with closing(link):
        if _state(link, app_role, guard_role) == (head(), True):
            return False
        with link, link.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        revision, _ = _state(link, app_role, guard_role)
        if revision > head():
            raise UserError(f"The database has revision {revision}, newer than {head()}.", hint="Update Airlock.")
        if revision != head():
            _migrate(owner_dsn)
        with link, link.cursor() as cursor:
            grant(cursor, app_role, guard_role)
    return True


def _state(link: "connection", *roles: str) -> tuple[str, bool]:
    """Return the database's revision, and whether all roles were given their rights."""
    with link, link.cursor() as cursor:
        cursor.execute("SELECT to_regclass('airlock.alembic_version') IS NOT NULL")
        if not (cursor.fetchone() or (False,))[0]:
            return "", False
        cursor.execute(
            "SELECT version_num, (SELECT count(*) FROM pg_roles WHERE rolname = ANY (%s) AND"
            " has_schema_privilege(oid, 'airlock', 'USAGE')) = %s FROM airlock.alembic_version",
            (list(roles), len(roles)),
        )
        revision, granted = cursor.fetchone() or ("", False)
        return str(revision), bool(granted)


def _migrate(owner_dsn: str) -> None:
    import psycopg2
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, pool

    engine = create_engine(
        "postgresql+psycopg2://", creator=lambda: psycopg2.connect(owner_dsn), poolclass=pool.NullPool
    )
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
