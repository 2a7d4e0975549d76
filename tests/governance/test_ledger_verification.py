"""The ledger refuses changes, and whatever is changed all the same is found and named."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest

from airlock.errors import IntegrityError, UserError
from airlock.governance.ledger import verify_ledger
from airlock.governance.signing import Signer, create_keypair
from airlock.stores.database import Database
from airlock.stores.ledger import COLUMNS, Ledger

FLIP = {
    "seq": "seq + 100",
    "created": "created + 0.000001",
    "kind": "CASE kind WHEN 'promotion' THEN 'rollback' ELSE 'promotion' END",
}


@pytest.fixture
def ledger(database: Database, signer: Signer, decision: Callable[..., dict[str, Any]]) -> Ledger:
    """Give a ledger of five records, of which 1 and 4 are signed decisions."""
    ledger = Ledger(database)
    ledger.append("decision", decision(), signer=signer)
    ledger.append("promotion", {"use_case": "digits", "name": "naïve ✓"})
    ledger.append("deployment", {"use_case": "digits"})
    ledger.append("decision", decision(user="otto"), signer=signer)
    ledger.append("void", {"use_case": "digits", "decision": "none"})
    return ledger


def tamper(superuser: Database, statement: str, *values: Any) -> None:
    """Change the ledger as only a superuser can: with the trigger disabled on purpose."""
    with superuser.transaction() as cursor:
        cursor.execute("ALTER TABLE airlock.ledger DISABLE TRIGGER append_only")
        cursor.execute(statement, values or None)
        assert cursor.rowcount == 1, statement
        cursor.execute("ALTER TABLE airlock.ledger ENABLE ALWAYS TRIGGER append_only")


class TestWhenNobodyTampered:
    def test_every_record_verifies(self, ledger: Ledger, keys: dict[str, Any]) -> None:
        assert verify_ledger(ledger.records(), keys) == 5

    def test_an_empty_ledger_verifies(self, database: Database) -> None:
        assert verify_ledger(Ledger(database).records(), {}) == 0

    def test_eight_appenders_at_once_keep_one_chain(self, ledger: Ledger, keys: dict[str, Any]) -> None:
        def append(number: int) -> None:
            for _ in range(5):
                ledger.append("promotion", {"use_case": "digits", "number": number})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(append, range(8)))
        assert verify_ledger(ledger.records(), keys) == 45


class TestWhenARecordWasChanged:
    def test_a_changed_byte_in_any_column_names_the_record(
        self, ledger: Ledger, keys: dict[str, Any], superuser: Database
    ) -> None:
        untouched = ledger.records()
        for seq, column in itertools.product([1, 2, 5], COLUMNS.split(", ")):
            value = FLIP.get(column, f"overlay({column} placing 'X' from greatest(length({column}) / 2, 1) for 1)")
            tamper(superuser, f"UPDATE airlock.ledger SET {column} = {value} WHERE seq = {seq}")
            # A record that was given another number leaves its place to the next one.
            named = seq if column != "seq" else seq + 1 if seq < 5 else seq + 100
            with pytest.raises(IntegrityError, match=f"^Ledger record {named} "):
                verify_ledger(ledger.records(), keys)
            before = getattr(untouched[seq - 1], column)
            changed = seq + 100 if column == "seq" else seq
            tamper(superuser, f"UPDATE airlock.ledger SET {column} = %s WHERE seq = {changed}", before)
        assert verify_ledger(ledger.records(), keys) == 5

    def test_a_record_taken_out_is_noticed(self, ledger: Ledger, keys: dict[str, Any], superuser: Database) -> None:
        tamper(superuser, "DELETE FROM airlock.ledger WHERE seq = 3")
        with pytest.raises(IntegrityError, match=r"record 4 .*record 3 should be"):
            verify_ledger(ledger.records(), keys)

    def test_a_decision_made_valid_again_but_for_its_signature(
        self, ledger: Ledger, keys: dict[str, Any], superuser: Database
    ) -> None:
        from msgspec.structs import replace

        records = ledger.records()
        last = records[3]
        forged = replace(last, body=last.body.replace("otto", "eve"))
        forged = replace(forged, hash=forged.digest())
        with pytest.raises(IntegrityError, match=r"record 4 .*not one of key"):
            verify_ledger([*records[:3], forged], keys)
        unsigned = replace(forged, key_id="", signature="")
        unsigned = replace(unsigned, hash=unsigned.digest())
        with pytest.raises(IntegrityError, match=r"record 4 .*nobody signed"):
            verify_ledger([*records[:3], unsigned], keys)

    def test_a_signature_in_other_letters_for_the_same_bytes(
        self, ledger: Ledger, keys: dict[str, Any], superuser: Database
    ) -> None:
        # The last letter before "==" carries four spare bits.
        tamper(
            superuser,
            "UPDATE airlock.ledger SET signature = overlay(signature placing translate(substr(signature, 86, 1),"
            " 'AQgw', 'BRhx') from 86 for 1) WHERE seq = 1",
        )
        with pytest.raises(IntegrityError, match="record 1 "):
            verify_ledger(ledger.records(), keys)

    def test_a_key_nobody_knows(self, ledger: Ledger, tmp_path: Any) -> None:
        other = Signer(create_keypair(tmp_path / "other"))
        with pytest.raises(IntegrityError, match=r"record 1 .*not among the public keys"):
            verify_ledger(ledger.records(), {other.key_id: other.private.public_key()})


class TestWhenTheDatabaseIsAskedToChangeARecord:
    CHANGES = (
        "UPDATE airlock.ledger SET body = '{}'",
        "DELETE FROM airlock.ledger",
        "TRUNCATE airlock.ledger",
    )

    @pytest.mark.parametrize("statement", CHANGES)
    def test_the_application_role_may_not(self, ledger: Ledger, statement: str) -> None:
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege, match="permission denied"),
            ledger.database.transaction() as cursor,
        ):
            cursor.execute(statement)
        assert len(ledger.records()) == 5

    @pytest.mark.parametrize("statement", CHANGES)
    def test_the_trigger_refuses_owner_and_superuser(
        self, ledger: Ledger, superuser: Database, owner_dsn: str, statement: str
    ) -> None:
        for database in (superuser, Database(owner_dsn)):
            with (
                pytest.raises(psycopg2.errors.InsufficientPrivilege, match="never changed"),
                database.transaction() as cursor,
            ):
                cursor.execute(statement)

    def test_a_replication_session_does_not_get_round_the_trigger(self, ledger: Ledger, superuser: Database) -> None:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege), superuser.transaction() as cursor:
            cursor.execute("SET session_replication_role = replica; DELETE FROM airlock.ledger")

    def test_an_unsigned_decision_is_not_taken(self, ledger: Ledger, decision: Callable[..., dict[str, Any]]) -> None:
        with pytest.raises(UserError, match="must be signed"):
            ledger.append("decision", decision())
        with pytest.raises(psycopg2.errors.CheckViolation), ledger.database.transaction() as cursor:
            cursor.execute("INSERT INTO airlock.ledger VALUES (6, 'decision', 'd', '{}', 'p', 'h', '', '', 0)")

    def test_a_record_without_a_use_case_or_of_another_kind(self, ledger: Ledger) -> None:
        with pytest.raises(UserError, match="names no use case"):
            ledger.append("promotion", {})
        with pytest.raises(UserError, match="no kind of ledger record"):
            ledger.append("gossip", {"use_case": "digits"})  # type: ignore[arg-type]
