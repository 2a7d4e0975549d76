"""Studies in PostgreSQL: Optuna's own tables, in the schema ``optuna`` of Airlock's database."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airlock.errors import InfrastructureError, UserError
from airlock.stores.database import CONNECT_SECONDS, Database

if TYPE_CHECKING:
    from optuna import Study
    from psycopg2.extensions import connection

SCHEMA = "optuna"
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
HINT = "See `airlock status`; the next try goes on with the trials as they are."


class Studies:
    """The studies in a database.

    :param database: Airlock's own, as the application's role.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Let no other worker of a study in: for steps that Optuna's storage does not do in one.

        The lock ends with its connection, so one that was killed leaves nothing locked.
        """
        with self.errors():
            link = self.storage.engine.connect()
        with link:
            with self.errors():
                link.exec_driver_sql(LOCK, (f"airlock.search/{name}",))
            yield

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Give what Optuna and SQLAlchemy raise about the storage one of our classes."""
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (StorageInternalError, SQLAlchemyError) as error:
            cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
            said = str(cause).strip().partition("\n")[0]
            raise InfrastructureError(
                f"The search's database {self.database.address} does not answer: {said}.", hint=HINT
            ) from error

    def begin(self, name: str, direction: str) -> "Study":
        """Return the study of a name; made when there is none.

        :raises InfrastructureError: the database does not answer.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self.locked(name), self.errors():
            return optuna.create_study(storage=self.storage, study_name=name, direction=direction, load_if_exists=True)

    def open(self, name: str) -> "Study":
        """Return a study that exists.

        :raises UserError: it does not.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            with self.errors():
                return optuna.load_study(storage=self.storage, study_name=name)
        except KeyError as error:
            raise UserError(
                f"There is no search {name!r}: no worker got as far as its first trial.",
                hint="Read the workers' logs, then clear them.",
            ) from error

    def names(self) -> list[str]:
        """Names of all studies."""
        import optuna

        with self.errors():
            return sorted(optuna.get_all_study_names(self.storage))

    @cached_property
    def storage(self) -> Any:
        """Optuna's storage; its tables are made when there are none.

        :raises UserError: the tables are of another Optuna.
        """
        from optuna.storages import RDBStorage

        logging.getLogger("alembic").setLevel(logging.WARNING)
        options = {"creator": self._connect, "pool_pre_ping": True}
        with self.database.transaction() as cursor, self.errors():
            cursor.execute(LOCK, ("airlock.search/",))  # two workers of a new database would both make the tables
            try:
                return RDBStorage("postgresql+psycopg2://", engine_kwargs=options)
            except RuntimeError as error:
                raise UserError(
                    f"The search's tables are not of this Optuna: {error}",
                    hint="Install the version that made them, or run `optuna storage upgrade`.",
                ) from error

    def _connect(self) -> "connection":
        import psycopg2

        return psycopg2.connect(
            self.database.dsn,
            options=f"-c search_path={SCHEMA}",
            connect_timeout=CONNECT_SECONDS,
            application_name="airlock search",
        )
