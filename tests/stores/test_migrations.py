"""The schema: complete, up to date in milliseconds, and the application role's rights on it."""

import subprocess
import sys
import time

import psycopg2
import pytest

from airlock.errors import InfrastructureError
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.stores.database import Database, open_database
from airlock.stores.migrations import FOLDER, head, upgrade

APPLICATION = "airlock_app"


def test_the_newest_revision_file_is_alembics_head() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == head()


def test_an_up_to_date_database_costs_milliseconds_and_no_import(owner_dsn: str) -> None:
    code = (
        "import sys; from airlock.stores.migrations import upgrade\n"
        "assert upgrade(sys.argv[1], 'airlock_app') is False\n"
        "assert not {'alembic', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, owner_dsn], check=True)
    started = time.perf_counter()
    assert upgrade(owner_dsn, APPLICATION) is False
    assert time.perf_counter() - started < 0.5


def test_another_application_role_is_given_its_rights(
    postgres: EmbeddedPostgres, database: Database, owner_dsn: str
) -> None:
    postgres.create_role("second_app", "test")
    name = database.address.rpartition("/")[2]
    postgres.create_database(name, "airlock_owner", members=("second_app",))
    assert upgrade(owner_dsn, "second_app") is True
    with open_database(postgres.dsn("second_app", "test", name)).transaction() as cursor:
        cursor.execute("SELECT count(*) AS records FROM airlock.ledger")
        assert cursor.fetchone() == {"records": 0}


def test_the_application_role_cannot_change_the_schema(database: Database) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), database.transaction() as cursor:
        cursor.execute("ALTER TABLE airlock.ledger DISABLE TRIGGER append_only")


def test_a_database_without_tables_says_what_to_do(postgres: EmbeddedPostgres) -> None:
    empty = open_database(postgres.admin_dsn())
    with pytest.raises(InfrastructureError, match=r"has no Airlock tables.*airlock up"), empty.transaction() as cursor:
        cursor.execute("SELECT 1 FROM airlock.ledger")


def test_a_server_that_is_not_there_is_named_with_host_and_port(free_port: int) -> None:
    dsn = f"postgresql://someone:hidden@127.0.0.1:{free_port}/airlock"
    with pytest.raises(InfrastructureError, match=f"127.0.0.1:{free_port}/airlock.*airlock status") as caught:
        open_database(dsn).transaction().__enter__()
    assert "hidden" not in str(caught.value)
    with pytest.raises(InfrastructureError, match="cannot be migrated"):
        upgrade(dsn, APPLICATION)
