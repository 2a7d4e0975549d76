"""The small programs that prepare the compose stack: secrets, databases, keys, policies."""

import os
import re
import subprocess
import sys
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
import pytest

from airlock.governance.book import Book
from airlock.governance.policy import read_gates
from airlock.governance.signing import load_signer, public_keys
from airlock.launcher import postgres_data
from airlock.launcher.airflow_config import packaged_dags
from airlock.launcher.databases import APPLICATION, GUARD
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.stores.database import Database
from airlock.stores.ledger import Ledger
from airlock.stores.migrations import upgrade

PASSWORDS = {
    "AIRFLOW_PASSWORD": "a'quote",
    "MLFLOW_PASSWORD": "m",
    "OWNER_PASSWORD": "o",
    "APP_PASSWORD": "p",
    "GUARD_PASSWORD": "g",
    "LABEL_STUDIO_DATABASE_PASSWORD": "l",
}


def run(root: Path, program: str, *arguments: str) -> str:
    command = [sys.executable, str(root / "deploy/compose" / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class TestNewSecrets:
    def test_fill_every_empty_variable_and_nothing_else(self, root: Path) -> None:
        example = (root / ".env.example").read_text().splitlines()
        made = run(root, "new_env.py").splitlines()
        for before, after in zip(example, made, strict=True):
            assert after.startswith(before)
            assert (after != before) == before.endswith("=")

    def test_differ_and_suit_a_fernet_key_and_a_url(self, root: Path) -> None:
        values = [line.split("=", 1)[1] for line in run(root, "new_env.py").splitlines() if line and line[0] != "#"]
        assert len(set(values)) == len(values)
        tokens = [value for value in values if re.fullmatch("[0-9a-f]{40}", value)]
        assert len(tokens) == 1, "Label Studio's token, which may have 40 characters at most"
        rest = set(values) - set(tokens)
        assert all(len(urlsafe_b64decode(value)) == 32 and not set(value) & set("/@:#$ ") for value in rest)


class TestKeys:
    def test_are_made_once_under_the_name_the_api_server_is_told(self, root: Path, tmp_path: Path) -> None:
        run(root, "keys.py", str(tmp_path))
        private = tmp_path / "private" / "decisions.pem"
        first = private.read_bytes()
        run(root, "keys.py", str(tmp_path))
        assert private.read_bytes() == first
        assert private.stat().st_mode & 0o777 == 0o600
        assert list(public_keys(str(tmp_path / "public"))) == [load_signer(path=private).key_id]


@pytest.mark.integration
class TestDatabases:
    @pytest.fixture
    def server(self, free_port: int, root: Path) -> Iterator[EmbeddedPostgres]:
        """Give a fresh server on which databases.sh has run."""
        with TemporaryDirectory(prefix="airlock-postgres-") as folder:  # its own user cannot enter pytest's folders
            yield from self.prepared(EmbeddedPostgres(Path(folder), free_port, options={"fsync": "off"}), root)

    def prepared(self, server: EmbeddedPostgres, root: Path) -> Iterator[EmbeddedPostgres]:
        server.start()
        environment = {
            "PATH": f"{postgres_data.installation() / 'bin'}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
            "PGPASSWORD": (server.folder / "superuser.password").read_text(),
        }
        try:
            script = root / "deploy/compose/databases.sh"
            subprocess.run(["bash", str(script)], env=environment | PASSWORDS, check=True, capture_output=True)
            yield server
        finally:
            server.stop()

    def test_belong_to_their_programs_and_take_airlocks_migrations(self, server: EmbeddedPostgres) -> None:
        upgrade(server.dsn("airlock_owner", "o", "airlock"), APPLICATION, GUARD)
        with psycopg2.connect(server.dsn("airlock_app", "p", "airlock")) as link, link.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM airlock.ledger")
            assert cursor.fetchone() == (0,)
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("DELETE FROM airlock.ledger")
        with psycopg2.connect(server.dsn("airflow", "a'quote", "airflow")) as link, link.cursor() as cursor:
            cursor.execute("CREATE TABLE mine ()")

    def test_take_the_packaged_policies_once(self, server: EmbeddedPostgres, root: Path, tmp_path: Path) -> None:
        upgrade(server.dsn("airlock_owner", "o", "airlock"), APPLICATION, GUARD)
        run(root, "keys.py", str(tmp_path))
        told = {
            "AIRLOCK_HOME": str(tmp_path / "state"),
            "AIRLOCK_GUARD_DATABASE": server.dsn(GUARD, "g", "airlock"),
            "AIRLOCK_SIGNING_KEY_FILE": str(tmp_path / "private/decisions.pem"),
            "AIRLOCK_PUBLIC_KEYS": str(tmp_path / "public"),
        }
        command = [sys.executable, str(root / "deploy/compose/adopt.py")]
        ledger = Ledger(Database(server.dsn(APPLICATION, "p", "airlock")))
        files = [read_gates(path) for path in packaged_dags().glob("*/gates.json")]
        packaged = [(file.use_case, gate, policy) for file in files for gate, policy in file.gates.items()]
        assert packaged
        for _ in range(2):
            subprocess.run(command, env=os.environ | told, check=True, timeout=60)
            book = Book.open(ledger, str(tmp_path / "public"))  # verifies chain, signatures and anchor
            assert len(ledger.records()) == len(packaged)
            for use_case, gate, policy in packaged:
                book.require_policy(use_case, gate, policy)
        assert (tmp_path / "public/anchor.json").stat().st_mode & 0o777 == 0o644

    def test_admit_nobody_else(self, server: EmbeddedPostgres) -> None:
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            psycopg2.connect(server.dsn("mlflow", "m", "airlock"))
