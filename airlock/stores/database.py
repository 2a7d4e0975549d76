"""Airlock's own PostgreSQL database: transactions, and errors that say who must act."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from airlock.errors import AirlockError, InfrastructureError, ResourceError, UserError

if TYPE_CHECKING:
    from psycopg2.extras import RealDictCursor

CONNECT_SECONDS = 10
HINT = "See `airlock status`; `airlock up` starts it."


class Database:
    """A PostgreSQL database.

    Each transaction has its own connection: a pool would save some milliseconds and cost correctness where
    Airflow forks, threads share the object, or the server was restarted in between.

    :param dsn: URL or key-value string of libpq.
    """

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    @contextmanager
    def transaction(self) -> Iterator["RealDictCursor"]:
        """Work in one transaction: rows are dicts; committed at the end, rolled back on any exception.

        :raises InfrastructureError: the server is not there, went away, or has no Airlock schema.
        :raises ResourceError: its disk or memory is full.
        """
        import psycopg2
        from psycopg2.extras import RealDictCursor

        try:
            link = psycopg2.connect(self.dsn, connect_timeout=CONNECT_SECONDS, application_name="airlock")
            with closing(link), link, link.cursor(cursor_factory=RealDictCursor) as cursor:
                yield cursor
        except (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.ProgrammingError) as error:
            translated = self._translate(error)
            if translated is None:
                raise
            raise translated from error

    @property
    def address(self) -> str:
        """``host:port/name``, without the password."""
        from psycopg2.extensions import parse_dsn

        parts = parse_dsn(self.dsn)
        return f"{parts.get('host', 'localhost')}:{parts.get('port', '5432')}/{parts.get('dbname', '')}"

    def _translate(self, error: Any) -> AirlockError | None:
        from psycopg2 import InterfaceError, OperationalError, errors

        said = str(error).strip().partition("\n")[0]  # the rest is the statement, or advice we give better
        if isinstance(error, errors.DiskFull | errors.OutOfMemory):
            return ResourceError(f"The database {self.address} is out of room: {said}.", hint="Free disk space for it.")
        if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName):
            return InfrastructureError(f"The database {self.address} has no Airlock tables: {said}.", hint=HINT)
        if isinstance(error, OperationalError | InterfaceError):
            return InfrastructureError(f"The database {self.address} does not answer: {said}.", hint=HINT)
        return None


def one(cursor: "RealDictCursor") -> dict[str, Any]:
    """Return the row of a statement that always has one."""
    row: dict[str, Any] = cursor.fetchone() or {}
    return row


def open_database(dsn: str) -> Database:
    """Open the database at a DSN; nothing is connected yet.

    :raises UserError: the DSN is empty or not one.
    """
    import psycopg2
    from psycopg2.extensions import parse_dsn

    if not dsn:
        raise UserError("No database is configured.", hint="Run `airlock up`, or set AIRLOCK_DATABASE.")
    try:
        parse_dsn(dsn)
    except psycopg2.ProgrammingError as error:
        raise UserError("AIRLOCK_DATABASE is not a PostgreSQL DSN.", hint="It looks like postgresql://…") from error
    return Database(dsn)
