"""The rows of an SQL query."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.data.download import Report
from airlock.data.files import written
from airlock.data.sources.location import secret
from airlock.data.sources.rows import Columns, Row, plain, samples
from airlock.data.sources.source import Sequential
from airlock.digests import digest_document
from airlock.errors import AirlockError, InfrastructureError, SourceError, UserError

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

ROWS = 1000


class Sql(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="sql"):
    """A query of a database; nothing is written there.

    :param location: SQLAlchemy URL, for example ``postgresql+psycopg://reader@host/sales``, without the password.
    :param query: one SELECT; ``:name`` for parameters. ORDER BY makes the order of the samples certain.
    :param parameters: of the query.
    :param columns: what its columns mean; ``content`` may be a column of bytes.
    :param password_env: environment variable with the password.
    :param fingerprint_query: gives one value that changes with the data (``SELECT max(changed) FROM …``); without it
        a run never takes its samples from the cache.
    :param max_rows: most rows.
    """

    location: str
    query: str
    parameters: dict[str, str | int | float | bool | None] = {}
    columns: Columns = Columns()
    password_env: str = ""
    fingerprint_query: str = ""
    max_rows: int = 10_000_000

    def __post_init__(self) -> None:
        if self.columns.file:
            raise ValueError("a query cannot name files: put table and files into one folder")
        if self._url.password:
            raise ValueError("location holds a password: name an environment variable with password_env instead")

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator[Sequential]:
        """Copy the rows in one read-only transaction: what is read afterwards is what the database held at once."""
        path = workdir / "rows.msgpack"
        self._copy(path, report)
        try:
            yield samples(lambda: _rows(path), self.columns, self.name)
        finally:
            path.unlink()

    def fingerprint(self) -> str:
        """The value of ``fingerprint_query``, with the query and its parameters."""
        if not self.fingerprint_query:
            return f"unknown {uuid.uuid4().hex}"
        engine = self._engine()
        with self._named(), engine.connect() as link:
            values = link.exec_driver_sql(self.fingerprint_query).fetchall()
        return digest_document([self.query, self.parameters, [[str(value) for value in row] for row in values]])

    @property
    def name(self) -> str:
        """The database as messages show it."""
        return self._url.render_as_string(hide_password=True).partition("?")[0]

    @property
    def _url(self) -> "URL":
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            return make_url(self.location)
        except ArgumentError as error:
            raise ValueError("location is no SQLAlchemy URL like postgresql+psycopg://user@host/name") from error

    def _engine(self) -> "Engine":
        from sqlalchemy import create_engine, pool
        from sqlalchemy.exc import NoSuchModuleError

        url = self._url.set(password=secret(self.password_env)) if self.password_env else self._url
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            raise SourceError(f"The database {self.name} does not exist.", hint="Correct the location.")
        try:
            return create_engine(url, poolclass=pool.NullPool)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise UserError(
                f"There is no driver for {self.name}: {error}.", hint="Install it where the worker runs."
            ) from error

    def _copy(self, path: Path, report: Report) -> None:
        from sqlalchemy import text

        engine = self._engine()
        pack = msgspec.msgpack.Encoder().encode
        count = 0
        with self._named(), engine.connect() as link, written(path), path.open("wb") as file:
            link = link.execution_options(**_reading(engine))
            found = link.execution_options(stream_results=True, max_row_buffer=ROWS).execute(
                text(self.query), self.parameters
            )
            names = self._names(list(found.keys())) if found.returns_rows else []
            for rows in found.partitions(ROWS) if names else ():
                count += len(rows)
                self._check_count(count)
                for row in rows:
                    packed = pack({name: _kept(value) for name, value in zip(names, row, strict=True)})
                    file.write(len(packed).to_bytes(4, "big") + packed)
                report(count, 0, "row")

    def _names(self, names: list[str]) -> list[str]:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SourceError(
                f"The query of {self.name} has the column {twice[0]!r} twice.", hint="Rename one with AS."
            )
        return names

    def _check_count(self, count: int) -> None:
        if count > self.max_rows:
            raise SourceError(
                f"The query of {self.name} gives more than max_rows={self.max_rows:,} rows.",
                hint="Narrow the query, or raise max_rows in the source if that many are expected.",
            )

    @contextmanager
    def _named(self) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except SQLAlchemyError as error:
            raise self._translated(error) from error

    def _translated(self, error: Any) -> AirlockError:
        from sqlalchemy.exc import DBAPIError, OperationalError

        said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        # SQLite calls a missing table operational too; it has no server that could be away.
        server = self._url.get_backend_name() != "sqlite"
        gone = isinstance(error, DBAPIError) and error.connection_invalidated
        if server and (gone or isinstance(error, OperationalError)):
            return InfrastructureError(
                f"The database {self.name} does not answer: {said}.",
                hint="Check host, user and password_env, and that it runs; then run the task again.",
            )
        return SourceError(f"The database {self.name} refuses the query: {said}.", hint="Correct the source's query.")


def _reading(engine: "Engine") -> dict[str, Any]:
    if engine.dialect.name != "postgresql":
        return {}
    return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def _kept(value: Any) -> Any:
    """Bytes stay bytes: they may be the content."""
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else plain(value)


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
    number = 0
    with path.open("rb") as file:
        while size := file.read(4):
            number += 1
            yield number, decode(file.read(int.from_bytes(size, "big")))
