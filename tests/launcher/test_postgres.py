"""The embedded PostgreSQL: starts as anybody, anywhere, again after a crash, and says why when it cannot."""

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from airlock.errors import InfrastructureError, UserError
from airlock.launcher import postgres_data
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.stores.database import open_database

NOBODY: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []}


@pytest.fixture(scope="module")
def closed() -> Iterator[Path]:
    """Give a folder that only its owner may enter; not pytest's own, which another session closes meanwhile."""
    with tempfile.TemporaryDirectory(prefix="airlock-closed-") as folder:
        yield Path(folder)


@pytest.fixture
def server(closed: Path, free_port: int) -> Iterator[EmbeddedPostgres]:
    """Give a server that is not running; the tests share its data, which takes seconds to make."""
    server = EmbeddedPostgres(closed / "post gres", free_port, options={"fsync": "off"})
    yield server
    server.stop()


def said_by(server: EmbeddedPostgres, question: str) -> str:
    with server.connect() as link, link.cursor() as cursor:
        cursor.execute(question)
        return str((cursor.fetchone() or ("",))[0])


def crash(server: EmbeddedPostgres) -> None:
    process = psutil.Process(server.pid)
    process.kill()
    process.wait(10)


def work_on(working: Any, cursor: Any) -> None:
    """Go on in a transaction as the body of its ``with`` statement would."""
    try:
        cursor.execute("SELECT 1")
    except psycopg2.Error as error:
        working.__exit__(type(error), error, error.__traceback__)


class TestAFirstStart:
    def test_answers_on_loopback_only_to_those_who_know_the_password(self, server: EmbeddedPostgres) -> None:
        server.start()
        assert server.running
        assert said_by(server, "SHOW unix_socket_directories") == ""
        assert said_by(server, "SHOW shared_buffers") == "64MB"
        listening = {item.laddr[0] for item in psutil.Process(server.pid).net_connections() if item.status == "LISTEN"}
        assert listening == {"127.0.0.1"}
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(server.dsn("postgres", "guess", "postgres"))

    def test_keeps_its_secrets_and_its_data_closed(self, server: EmbeddedPostgres) -> None:
        server.start()
        for path, mode in ((server.data, 0o700), (server.folder / "superuser.password", 0o600)):
            assert stat.S_IMODE(path.stat().st_mode) == mode
        assert {path.name for path in server.folder.iterdir()} == {"data", "postgres.log", "superuser.password"}
        assert not stat.S_IMODE(server.folder.parent.stat().st_mode) & 0o066, "others may walk through, not read"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
    def test_by_root_does_not_run_as_root(self, server: EmbeddedPostgres) -> None:
        server.start()
        assert psutil.Process(server.pid).uids().real != 0
        assert os.getsid(server.pid or 0) == server.pid, "it must survive its terminal"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
    def test_by_an_ordinary_user(self, free_port: int) -> None:
        code = (
            "import sys, os; from pathlib import Path; from airlock.launcher.postgres import EmbeddedPostgres\n"
            "assert os.geteuid() == 65534\n"
            "server = EmbeddedPostgres(Path(sys.argv[1]), int(sys.argv[2])); server.start(); server.stop()"
        )
        try:
            subprocess.run([sys.executable, "-c", "import airlock.launcher"], cwd="/", check=True, **NOBODY)
        except (PermissionError, subprocess.CalledProcessError):
            pytest.skip("another user cannot read this checkout")
        with tempfile.TemporaryDirectory() as folder:
            os.chown(folder, 65534, 65534)
            command = [sys.executable, "-c", code, f"{folder}/postgres", str(free_port)]
            subprocess.run(command, cwd="/", check=True, **NOBODY)

    def test_makes_roles_and_databases_that_only_their_own_may_enter(self, server: EmbeddedPostgres) -> None:
        server.start()
        for role in ("owner", "reader", "stran'ger"):
            server.create_role(role, "pass'word/@")
            server.create_role(role, "pass'word/@")
        for _ in range(2):
            server.create_database("books", "owner", members=("reader",))
        for role in ("owner", "reader"):
            with open_database(server.dsn(role, "pass'word/@", "books")).transaction() as cursor:
                cursor.execute("SELECT current_user AS role")
                assert cursor.fetchone() == {"role": role}
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            psycopg2.connect(server.dsn("stran'ger", "pass'word/@", "books"))


class TestAnotherStart:
    def test_finds_the_data_of_the_last(self, server: EmbeddedPostgres) -> None:
        server.start()
        server.create_role("kept", "x")
        server.stop()
        assert not server.running
        server.start()
        assert said_by(server, "SELECT count(*) FROM pg_roles WHERE rolname = 'kept'") == "1"

    def test_of_a_running_server_leaves_it_alone(self, server: EmbeddedPostgres) -> None:
        server.start()
        pid = server.pid
        other = EmbeddedPostgres(server.folder, server.port)
        other.start()
        assert other.pid == pid
        with pytest.raises(UserError, match=f"already runs on port {server.port}"):
            EmbeddedPostgres(server.folder, server.port + 1).start()
        other.stop()
        assert not server.running

    def test_after_a_crash(self, server: EmbeddedPostgres) -> None:
        server.start()
        with closing(psycopg2.connect(server.admin_dsn())):
            crash(server)
            server.start()
        assert said_by(server, "SELECT 1") == "1"

    def test_after_a_crash_when_another_program_got_the_process_id(self, server: EmbeddedPostgres) -> None:
        server.start()
        crash(server)
        assert not server.running
        lock = server.data / "postmaster.pid"
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
        assert not server.running
        server.start()
        assert said_by(server, "SELECT 1") == "1"

    def test_after_an_initdb_that_was_cut_short(self, server: EmbeddedPostgres) -> None:
        again = EmbeddedPostgres(server.folder.with_name("cut short"), server.port)
        (again.folder / "data.new").mkdir(parents=True)
        (again.folder / "data.new" / "PG_VERSION").write_text("18")
        again.start()
        assert said_by(again, "SELECT 1") == "1"
        again.stop()


class TestWhenItCannotStart:
    def test_a_taken_port_is_named_with_its_holder(self, server: EmbeddedPostgres) -> None:
        refusal = rf"Port {server.port}, which PostgreSQL needs, .*process {os.getpid()}"
        with socket.create_server(("127.0.0.1", server.port)), pytest.raises(UserError, match=refusal):
            server.start()

    def test_a_wrong_setting_is_quoted_from_its_log(self, server: EmbeddedPostgres) -> None:
        server.options["shared_buffers"] = "plenty"
        with pytest.raises(InfrastructureError, match=r"(?s)ended while starting.*shared_buffers.*postgres\.log"):
            server.start()

    def test_without_the_wheel(self, server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(postgres_data, "find_spec", lambda name: None)
        with pytest.raises(UserError, match=r"not installed.*airlock\[embedded\]"):
            server.start()


class TestWhenItStops:
    def test_stopping_twice_is_fine(self, server: EmbeddedPostgres) -> None:
        server.start()
        server.stop()
        server.stop()

    def test_whoever_needs_it_is_told_host_port_and_what_to_do(self, server: EmbeddedPostgres) -> None:
        server.start()
        database = open_database(server.admin_dsn())
        working = database.transaction()
        cursor = working.__enter__()
        server.stop()
        with pytest.raises(InfrastructureError, match=rf"127.0.0.1:{server.port}/postgres does not answer"):
            work_on(working, cursor)
        with pytest.raises(InfrastructureError, match=r"does not answer.*Connection refused.*airlock up"):
            database.transaction().__enter__()
        server.start()
        with database.transaction() as cursor:
            cursor.execute("SELECT 1 AS here")
            assert cursor.fetchone() == {"here": 1}
