"""The schema: complete, up to date in milliseconds, and what the two roles may do with it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege

from airlock.digests import canonical
from airlock.errors import InfrastructureError, NotApproved
from airlock.governance.ledger import verify_ledger
from airlock.governance.signing import Signer, create_keypair, load_signer, public_keys
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.stores.database import Database, open_database
from airlock.stores.ledger import SIGNED, Ledger
from airlock.stores.migrations import FOLDER, head, upgrade

APPLICATION, GUARD = "airlock_app", "airlock_guard"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return load_signer(path=create_keypair(tmp_path))


def name_of(database: Database) -> str:
    return database.address.rpartition("/")[2]


def execute(database: Database, statement: str, *values: Any) -> None:
    with database.transaction() as cursor:
        cursor.execute(statement, values)


def test_the_newest_revision_file_is_alembics_head() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory.from_config(_alembic()).get_current_head() == head()


def test_an_up_to_date_database_costs_milliseconds_and_no_import(owner_dsn: str) -> None:
    code = (
        "import sys; from airlock.stores.migrations import upgrade\n"
        "assert upgrade(sys.argv[1], 'airlock_app', 'airlock_guard') is False\n"
        "assert not {'alembic', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, owner_dsn], check=True)
    started = time.perf_counter()
    assert upgrade(owner_dsn, APPLICATION, GUARD) is False
    assert time.perf_counter() - started < 0.5


class TestOtherRoles:
    @pytest.mark.parametrize("which", ["application", "guard"])
    def test_are_given_their_rights(
        self, postgres: EmbeddedPostgres, database: Database, owner_dsn: str, which: str
    ) -> None:
        role = f"second_{which}"
        postgres.create_role(role, "test")
        postgres.create_database(name_of(database), "airlock_owner", members=(role,))
        roles = (role, GUARD) if which == "application" else (APPLICATION, role)
        assert upgrade(owner_dsn, *roles) is True
        assert upgrade(owner_dsn, *roles) is False
        found = Ledger(open_database(postgres.dsn(role, "test", name_of(database))))
        assert found.append("request", {"use_case": "digits"}).seq == 1
        execute(open_database(postgres.admin_dsn(name_of(database))), f"DROP OWNED BY {role}")
        with postgres.connect() as link, link.cursor() as cursor:
            cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    def test_that_do_not_exist_yet_are_named(self, owner_dsn: str) -> None:
        with pytest.raises(psycopg2.errors.UndefinedObject, match="nobody_yet"):
            upgrade(owner_dsn, APPLICATION, "nobody_yet")


class TestADatabaseOfRevision0001:
    """What a stack of the release before left: a ledger with an approval in it, requests, and no guard's role."""

    @pytest.fixture
    def old(self, postgres: EmbeddedPostgres) -> Iterator[str]:
        """Give the name of such a database."""
        from alembic import command
        from sqlalchemy import create_engine, pool

        postgres.create_database("old", "airlock_owner", members=(APPLICATION,))
        dsn = postgres.dsn("airlock_owner", "test", "old")
        engine = create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(dsn), poolclass=pool.NullPool)
        config = _alembic()
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
        owner = open_database(dsn)
        execute(owner, f"GRANT USAGE ON SCHEMA airlock TO {APPLICATION}")
        execute(owner, f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA airlock TO {APPLICATION}")
        execute(owner, f"GRANT UPDATE (state) ON airlock.gate_request, airlock.gate_answer TO {APPLICATION}")
        application = open_database(postgres.dsn(APPLICATION, "test", "old"))
        execute(
            application,
            "INSERT INTO airlock.ledger VALUES (1, 'decision', 'digits', '{\"user\":\"vera\"}', '', 'h', 'k', 's', 1)",
        )
        execute(
            application,
            "INSERT INTO airlock.gate_request VALUES (DEFAULT, 'r', 'digits', 'data', 'd', 'r', 't', -1, 'm', 'e',"
            " '{}', 'p', 'dora', 'open', 1)",
        )
        execute(
            application,
            "INSERT INTO airlock.promotion (queue, manifest, decision, state, created)"
            " VALUES ('digits/model', 'm', 'h', 'waiting', 1)",
        )
        yield "old"
        with postgres.connect() as link, link.cursor() as cursor:
            cursor.execute("DROP DATABASE old WITH (FORCE)")

    @pytest.fixture
    def upgraded(self, postgres: EmbeddedPostgres, old: str) -> Callable[[str], Database]:
        """Upgrade it; give ``upgraded(role)``."""
        postgres.create_database(old, "airlock_owner", members=(APPLICATION, GUARD))
        assert upgrade(postgres.dsn("airlock_owner", "test", old), APPLICATION, GUARD) is True
        return lambda role: open_database(postgres.dsn(role, "test", old))

    def test_keeps_its_ledger_readable_and_begins_a_new_one(
        self, upgraded: Callable[[str], Database], signer: Signer, tmp_path: Path
    ) -> None:
        for role in (APPLICATION, GUARD):
            with upgraded(role).transaction() as cursor:
                cursor.execute("SELECT seq, kind, body FROM airlock.ledger_0001")
                assert cursor.fetchall() == [{"seq": 1, "kind": "decision", "body": '{"user":"vera"}'}]
        guard = Ledger(upgraded(GUARD))
        assert guard.records() == [], "what was approved before does not count any more"
        guard.append("void", {"use_case": "digits", "record": "x"}, signer)
        assert verify_ledger(guard.records(), public_keys(str(tmp_path / "public"))) == 1

    def test_keeps_what_is_not_a_gates_business(self, upgraded: Callable[[str], Database]) -> None:
        with upgraded(APPLICATION).transaction() as cursor:
            cursor.execute("SELECT queue, state FROM airlock.promotion")
            assert cursor.fetchall() == [{"queue": "digits/model", "state": "waiting"}]

    @pytest.mark.parametrize("statement", ["UPDATE {} SET kind = 'void'", "DELETE FROM {}", "TRUNCATE {}"])
    def test_lets_nobody_rewrite_the_old_ledger(self, upgraded: Callable[[str], Database], statement: str) -> None:
        for role in (APPLICATION, GUARD, "airlock_owner"):
            with pytest.raises(InsufficientPrivilege):
                execute(upgraded(role), statement.format("airlock.ledger_0001"))

    def test_lets_nobody_add_to_the_old_ledger(self, upgraded: Callable[[str], Database]) -> None:
        for role in (APPLICATION, GUARD):
            with pytest.raises(InsufficientPrivilege):
                execute(
                    upgraded(role),
                    "INSERT INTO airlock.ledger_0001 VALUES (2, 'void', 'd', '{}', 'h', 'i', 'k', 's', 1)",
                )


class TestTheApplicationsRole:
    def test_cannot_change_the_schema(self, database: Database) -> None:
        for statement in (
            "ALTER TABLE airlock.ledger DISABLE TRIGGER append_only",
            "DROP FUNCTION airlock.append(text)",
            "CREATE OR REPLACE FUNCTION airlock.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
            "CREATE TABLE airlock.mine ()",
        ):
            with pytest.raises(InsufficientPrivilege):
                execute(database, statement)

    def test_cannot_become_another(self, database: Database) -> None:
        for role in (GUARD, "airlock_owner", "postgres"):
            with pytest.raises((InsufficientPrivilege, psycopg2.errors.InvalidParameterValue)):
                execute(database, f"SET ROLE {role}")

    def test_cannot_write_into_the_ledger_but_through_the_function(self, database: Database) -> None:
        with pytest.raises(InsufficientPrivilege):
            execute(database, "INSERT INTO airlock.ledger (seq, record, hash, signature) VALUES (1, '{}', '', '')")

    def test_cannot_call_what_appends_signed_records(self, database: Database) -> None:
        for call in ("append_signed(%s, 's')", "append_any(%s, 's')", "append_any(%s, '')"):
            with pytest.raises(InsufficientPrivilege, match="permission denied for function"):
                execute(database, f"SELECT airlock.{call}", text(kind="decision", key_id="k"))

    @pytest.mark.parametrize("kind", SIGNED)
    def test_cannot_append_what_must_be_signed(self, database: Database, kind: Any, signer: Signer) -> None:
        with pytest.raises(NotApproved, match=f"may not append a {kind}"):
            Ledger(database).append(kind, {"use_case": "digits"}, signer)
        with pytest.raises(InsufficientPrivilege, match="only the guard"):
            execute(database, "SELECT airlock.append(%s)", text(kind=kind))

    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO airlock.gate_answer (request, body, state, created) VALUES ('r', '{}', 'prepared', 1)",
            "UPDATE airlock.gate_answer SET state = 'recorded'",
            "DELETE FROM airlock.gate_answer",
            "INSERT INTO airlock.reminder VALUES ('r', 1)",
            "DELETE FROM airlock.reminder",
            "UPDATE airlock.alembic_version SET version_num = '0001'",
            "UPDATE airlock.deployment SET manifest = 'm'",
            "DELETE FROM airlock.promotion",
        ],
    )
    def test_cannot_write_what_is_the_guards_or_nobodys(self, database: Database, statement: str) -> None:
        with pytest.raises(InsufficientPrivilege):
            execute(database, statement)


class TestTheGuardsRole:
    def test_appends_what_is_signed_and_what_is_not(
        self, guard_database: Database, signer: Signer, tmp_path: Path
    ) -> None:
        ledger = Ledger(guard_database)
        for kind in SIGNED:
            ledger.append(kind, {"use_case": "digits"}, signer)
        ledger.append("request", {"use_case": "digits"})
        assert verify_ledger(ledger.records(), public_keys(str(tmp_path / "public"))) == len(SIGNED) + 1

    def test_cannot_append_a_signed_kind_without_a_signature(self, guard_database: Database) -> None:
        with pytest.raises(InsufficientPrivilege, match="not signed"):
            execute(guard_database, "SELECT airlock.append_signed(%s, '')", text(kind="decision"))
        with pytest.raises(InsufficientPrivilege, match="not signed"):
            execute(guard_database, "SELECT airlock.append_signed(%s, 's')", text(kind="deployment", key_id="k"))

    def test_writes_answers_ahead_and_reminders_and_changes_only_an_answers_fate(
        self, guard_database: Database
    ) -> None:
        answer = "INSERT INTO airlock.gate_answer (request, body, state, created) VALUES ('r', '{}', 'prepared', 1)"
        execute(guard_database, answer)
        execute(guard_database, "INSERT INTO airlock.reminder VALUES ('r', 1)")
        execute(guard_database, "UPDATE airlock.gate_answer SET state = 'void'")
        for statement in ("UPDATE airlock.gate_answer SET body = '{}'", "DELETE FROM airlock.gate_answer"):
            with pytest.raises(InsufficientPrivilege):
                execute(guard_database, statement)

    def test_cannot_do_the_workers_work(self, guard_database: Database) -> None:
        for statement in (
            "INSERT INTO airlock.deployment (use_case, target, manifest, decision, created)"
            " VALUES ('d', 't', 'm', 'h', 1)",
            "INSERT INTO airlock.ledger (seq, record, hash, signature) VALUES (1, '{}', '', '')",
        ):
            with pytest.raises(InsufficientPrivilege):
                execute(guard_database, statement)


def text(drop: str = "", **changes: Any) -> str:
    """Give the text of a first record that the database takes, with changes."""
    fields = {
        "seq": 1,
        "kind": "request",
        "use_case": "digits",
        "body": {"use_case": "digits"},
        "previous": "",
        "key_id": "",
        "created": time.time(),
    }
    return canonical({name: value for name, value in (fields | changes).items() if name != drop}).decode()


class TestAppending:
    def test_takes_the_next_record_only(self, database: Database) -> None:
        execute(database, "SELECT airlock.append(%s)", text())
        first = Ledger(database).records()[0]
        for changes in ({}, {"seq": 2}, {"seq": 3, "previous": first.hash}, {"seq": 2, "previous": "sha256:other"}):
            with pytest.raises(InsufficientPrivilege, match="does not follow"):
                execute(database, "SELECT airlock.append(%s)", text(**changes))
        execute(database, "SELECT airlock.append(%s)", text(seq=2, previous=first.hash))
        assert verify_ledger(Ledger(database).records(), {}) == 2

    @pytest.mark.parametrize("seq", [0, 2, -1, 1.5])
    def test_begins_with_one(self, database: Database, seq: float) -> None:
        with pytest.raises(InsufficientPrivilege, match="does not follow"):
            execute(database, "SELECT airlock.append(%s)", text(seq=seq))

    @pytest.mark.parametrize(
        "changes",
        [
            {"more": 1},
            {"drop": "body"},
            {"drop": "created"},
            {"drop": "use_case"},
            {"drop": "previous"},
            {"body": ["use_case"]},
            {"body": "digits"},
            {"use_case": "fashion"},
            {"use_case": None, "body": {}},
            {"use_case": {"a": 1}, "body": {"use_case": {"a": 1}}},
            {"key_id": "k"},
            {"key_id": None},
            {"previous": None},
            {"seq": "1"},
            {"seq": None},
            {"created": 0},
            {"created": 1.7e9},  # in 2023
            {"created": 4.1e9},  # in 2099
            {"created": None},
        ],
        ids=str,
    )
    def test_refuses_what_is_no_record(self, database: Database, changes: dict[str, Any]) -> None:
        with pytest.raises(InsufficientPrivilege, match="not a ledger record"):
            execute(database, "SELECT airlock.append(%s)", text(**changes))
        assert Ledger(database).records() == []

    @pytest.mark.parametrize("wrong", ["", "x", "{", "[]", "1", "null", "{}", '{"kind":"request"}', "\ud800{}"])
    def test_refuses_what_is_not_even_an_object(self, database: Database, wrong: str) -> None:
        with pytest.raises((psycopg2.DatabaseError, UnicodeEncodeError)):
            execute(database, "SELECT airlock.append(%s)", wrong)
        assert Ledger(database).records() == []

    def test_refuses_a_time_that_is_no_number(self, database: Database) -> None:
        with pytest.raises(psycopg2.DatabaseError):
            execute(database, "SELECT airlock.append(%s)", text(created="now"))

    def test_is_not_led_astray_by_a_search_path(self, database: Database) -> None:
        """What a caller puts into its temporary schema must not stand in for what the function calls."""
        lure = (
            "CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1';"
            "CREATE TEMPORARY TABLE ledger (seq bigint, hash text, record text, signature text);"
            "SET search_path = pg_temp, pg_catalog; SELECT airlock.append(%s)"
        )
        with pytest.raises(InsufficientPrivilege, match="does not follow"):
            execute(database, lure, text(seq=2))
        execute(database, lure, text())
        assert verify_ledger(Ledger(database).records(), {}) == 1

    def test_hashes_for_itself(self, database: Database) -> None:
        execute(
            database, "SELECT airlock.append(%s)", json.dumps(json.loads(text(body={"use_case": "digits", "é": "ß"})))
        )
        assert verify_ledger(Ledger(database).records(), {}) == 1


class TestTheLedger:
    @pytest.fixture(autouse=True)
    def filled(self, database: Database) -> None:
        Ledger(database).append("request", {"use_case": "digits"})

    @pytest.mark.parametrize("statement", ["UPDATE {} SET record = ''", "DELETE FROM {}", "TRUNCATE {}"])
    @pytest.mark.parametrize("role", ["application", "guard", "owner", "superuser", "replica"])
    def test_takes_no_change_from_anybody(
        self,
        database: Database,
        guard_database: Database,
        owner_dsn: str,
        superuser: Database,
        statement: str,
        role: str,
    ) -> None:
        who = {"application": database, "guard": guard_database, "owner": open_database(owner_dsn)}
        # A replica is where ordinary triggers rest.
        before = "SET session_replication_role = replica;" if role == "replica" else ""
        with pytest.raises(InsufficientPrivilege):
            execute(who.get(role, superuser), before + statement.format("airlock.ledger"))
        assert len(Ledger(database).records()) == 1

    def test_lets_only_a_superuser_pose_as_a_replica(self, database: Database, owner_dsn: str) -> None:
        for who in (database, open_database(owner_dsn)):
            with pytest.raises(InsufficientPrivilege):
                execute(who, "SET session_replication_role = replica")


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
        upgrade(dsn, APPLICATION, GUARD)


def _alembic() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    return config
