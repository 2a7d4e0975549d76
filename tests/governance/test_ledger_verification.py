"""The ledger refuses changes, and whatever is changed all the same is found and named."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest
from msgspec.structs import replace

from airlock.digests import canonical, digest_bytes
from airlock.errors import IntegrityError, NotApproved, UserError
from airlock.governance import signatures
from airlock.governance.anchor import read_anchor
from airlock.governance.ledger import verify_ledger
from airlock.governance.signing import create_keypair, load_signer, public_keys
from airlock.stores.database import Database
from airlock.stores.ledger import Ledger, Record
from tests.governed import Governed

STORED = ("seq", "record", "hash", "signature")
COMPUTED = ("kind", "use_case", "request")
CHANGES = ["UPDATE airlock.ledger SET signature = ''", "DELETE FROM airlock.ledger", "TRUNCATE airlock.ledger"]


@pytest.fixture
def five(governed: Governed) -> Governed:
    """Give a ledger of five records, of which 1 and 4 are signed."""
    app = Ledger(governed.database)
    governed.sign(
        "policy", {"use_case": "digits", "gate": "data", "policy": {"stages": [{"roles": ["data_engineer"]}]}}
    )
    app.append("promotion", {"use_case": "digits", "name": "naïve ✓"})
    app.append("deployment", {"use_case": "digits", "manifest": "sha256:m"})
    governed.sign("void", {"use_case": "digits", "record": "none"})
    app.append("rollback", {"use_case": "digits"})
    return governed


@pytest.fixture
def keys(governed: Governed) -> dict[str, Any]:
    return public_keys(governed.keys)


def verify(governed: Governed, records: list[Record] | None = None) -> int:
    """Verify with keys and anchor, as every sink does."""
    keys = public_keys(governed.keys)
    return verify_ledger(
        governed.ledger.records() if records is None else records, keys, read_anchor(governed.keys, keys)
    )


def tamper(superuser: Database, statement: str, *values: Any) -> None:
    """Change the ledger as only a superuser can: with the trigger disabled on purpose."""
    with superuser.transaction() as cursor:
        cursor.execute("ALTER TABLE airlock.ledger DISABLE TRIGGER append_only")
        cursor.execute(statement, values or None)
        assert cursor.rowcount == 1, statement
        cursor.execute("ALTER TABLE airlock.ledger ENABLE ALWAYS TRIGGER append_only")


def rewritten(record: Record, **changes: Any) -> Record:
    """Give a record whose text says something else, under the hash of that text."""
    fields = json.loads(record.text) | changes
    text = canonical(fields).decode()
    seen = {name: value for name, value in fields.items() if name != "seq"}
    return Record(seq=record.seq, **seen, text=text, hash=digest_bytes(text.encode()), signature=record.signature)


class TestWhenNobodyTampered:
    def test_every_record_verifies(self, five: Governed) -> None:
        assert verify(five) == 5

    def test_an_empty_ledger_verifies(self, governed: Governed) -> None:
        assert verify(governed) == 0

    def test_eight_appenders_at_once_keep_one_chain(self, five: Governed) -> None:
        app = Ledger(five.database)

        def append(number: int) -> None:
            for _ in range(5):
                app.append("promotion", {"use_case": "digits", "number": number})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(append, range(8)))
        assert verify(five) == 45

    def test_what_was_appended_reads_back(self, five: Governed) -> None:
        record = five.ledger.records()[1]
        assert (record.seq, record.kind, record.use_case, record.body["name"]) == (2, "promotion", "digits", "naïve ✓")
        assert record.created == json.loads(record.text)["created"]


class TestWhenARecordWasChanged:
    def test_a_changed_byte_in_any_column_names_the_record(self, five: Governed, superuser: Database) -> None:
        untouched = five.ledger.records()
        with superuser.transaction() as cursor:
            cursor.execute("SELECT * FROM airlock.ledger LIMIT 0")
            assert {column.name for column in cursor.description or ()} == {*STORED, *COMPUTED}
        for seq, column in itertools.product([1, 2, 5], STORED):
            value = f"overlay({column} placing 'X' from greatest(length({column}) / 2, 1) for 1)"
            value = {
                "seq": "seq + 100",
                # The text must stay JSON, or PostgreSQL itself refuses it.
                "record": "overlay(record placing 'X' from strpos(record, 'digits') for 1)",
            }.get(column, value)
            tamper(superuser, f"UPDATE airlock.ledger SET {column} = {value} WHERE seq = {seq}")
            # A record that was given another number leaves its place to the next one.
            named = seq if column != "seq" else seq + 1 if seq < 5 else seq + 100
            with pytest.raises(IntegrityError, match=f"^Ledger record {named} "):
                verify(five)
            before = getattr(untouched[seq - 1], "text" if column == "record" else column)
            tamper(
                superuser,
                f"UPDATE airlock.ledger SET {column} = %s WHERE seq = {seq + 100 if column == 'seq' else seq}",
                before,
            )
        assert verify(five) == 5

    def test_every_byte_of_a_text_counts(self, five: Governed) -> None:
        records = five.ledger.records()
        text = records[3].text
        for place in range(len(text)):
            changed = text[:place] + ("x" if text[place] != "x" else "y") + text[place + 1 :]
            with pytest.raises(IntegrityError, match=r"^Ledger record 4 .*was altered"):
                verify_ledger([*records[:3], replace(records[3], text=changed)], public_keys(five.keys))

    def test_a_record_taken_out_is_noticed(self, five: Governed, superuser: Database) -> None:
        tamper(superuser, "DELETE FROM airlock.ledger WHERE seq = 3")
        with pytest.raises(IntegrityError, match=r"record 4 .*record 3 should be"):
            verify(five)

    def test_records_in_another_order(self, five: Governed) -> None:
        one, two, three, *rest = five.ledger.records()
        with pytest.raises(IntegrityError, match=r"record 3 .*record 2 should be"):
            verify(five, [one, three, two, *rest])

    def test_a_record_that_is_replayed(self, five: Governed) -> None:
        records = five.ledger.records()
        with pytest.raises(IntegrityError, match=r"record 4 .*record 6 should be"):
            verify(five, [*records, records[3]])

    def test_a_replayed_record_under_a_new_number(self, five: Governed) -> None:
        records = five.ledger.records()
        again = replace(rewritten(records[3], seq=6, previous=records[-1].hash), seq=6)
        with pytest.raises(IntegrityError, match=r"record 6 .*not one of key"):
            verify(five, [*records, again])

    def test_the_end_cut_off_with_a_signed_record_in_it(self, five: Governed, superuser: Database) -> None:
        tamper(superuser, "DELETE FROM airlock.ledger WHERE seq = 5")
        assert verify(five) == 4  # nobody signed that record: that it was there is nobody's word
        tamper(superuser, "DELETE FROM airlock.ledger WHERE seq = 4")
        with pytest.raises(IntegrityError, match=r"ends with record 3, but record 4 was signed"):
            verify(five)

    def test_a_signed_record_made_valid_again_but_for_its_signature(self, five: Governed, keys: dict[str, Any]) -> None:
        records = five.ledger.records()
        forged = rewritten(records[3], body={"use_case": "digits", "record": "another"})
        with pytest.raises(IntegrityError, match=r"record 4 .*not one of key"):
            verify_ledger([*records[:3], forged], keys)
        unsigned = replace(rewritten(forged, key_id=""), signature="")
        with pytest.raises(IntegrityError, match=r"record 4 .*nobody signed"):
            verify_ledger([*records[:3], unsigned], keys)

    def test_a_signature_in_other_letters_for_the_same_bytes(self, five: Governed, superuser: Database) -> None:
        # The last letter before "==" carries four spare bits.
        tamper(
            superuser,
            "UPDATE airlock.ledger SET signature = overlay(signature placing translate(substr(signature, 86, 1),"
            " 'AQgw', 'BRhx') from 86 for 1) WHERE seq = 1",
        )
        with pytest.raises(IntegrityError, match="record 1 "):
            verify(five)

    def test_a_key_that_is_not_among_the_public_ones(self, five: Governed, home: Any) -> None:
        other = load_signer(path=create_keypair(home / "other"))
        with pytest.raises(IntegrityError, match=rf"record 1 .*{five.signer.key_id}.*not among the public keys"):
            verify_ledger(five.ledger.records(), {other.key_id: other.private.public_key()})

    def test_a_key_that_was_retired_before(self, five: Governed, keys: dict[str, Any]) -> None:
        records = five.ledger.records()
        assert verify_ledger(records, keys, retired={five.signer.key_id: 4}) == 5
        with pytest.raises(IntegrityError, match=r"record 4 .*retired before"):
            verify_ledger(records, keys, retired={five.signer.key_id: 3})


class TestWhenThereAreMany:
    """Signatures are then checked by other processes too, and nothing else changes."""

    @pytest.fixture
    def many(self, governed: Governed, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
        monkeypatch.setattr(signatures, "ALONE", 100)
        with governed.ledger.appending() as appender:
            for number in range(1800):
                body = {"use_case": "digits", "record": str(number)}
                appender.append("void", body, governed.signer) if number % 3 else appender.append("rollback", body)
        return governed.ledger.records()

    def test_all_verify(self, many: list[Record], keys: dict[str, Any]) -> None:
        assert verify_ledger(many, keys) == 1800

    def test_the_first_that_is_wrong_is_named(self, many: list[Record], keys: dict[str, Any]) -> None:
        other = many[7].signature
        for place in (1700, 901):  # both are signed
            many[place] = replace(many[place], signature=other)
        many[1600] = replace(many[1600], text=many[1600].text + " ")
        with pytest.raises(IntegrityError, match=r"record 902 .*not one of key"):
            verify_ledger(many, keys)

    def test_a_broken_chain_before_a_wrong_signature(self, many: list[Record], keys: dict[str, Any]) -> None:
        many[901] = replace(many[901], signature=many[7].signature)
        many[900] = replace(many[900], hash="sha256:0")
        with pytest.raises(IntegrityError, match=r"record 901 .*altered"):
            verify_ledger(many, keys)


class TestWhenSomebodyTries:
    @pytest.mark.parametrize("statement", CHANGES)
    def test_both_roles_may_not_change_anything(self, five: Governed, statement: str) -> None:
        for database in (five.database, five.guard):
            with (
                pytest.raises(psycopg2.errors.InsufficientPrivilege, match="permission denied"),
                database.transaction() as cursor,
            ):
                cursor.execute(statement)
        assert verify(five) == 5

    @pytest.mark.parametrize("statement", CHANGES)
    def test_the_trigger_refuses_owner_and_superuser(
        self, five: Governed, superuser: Database, owner_dsn: str, statement: str
    ) -> None:
        for database in (superuser, Database(owner_dsn)):
            with (
                pytest.raises(psycopg2.errors.InsufficientPrivilege, match="never changed"),
                database.transaction() as cursor,
            ):
                cursor.execute(statement)

    def test_a_replication_session_does_not_get_round_the_trigger(self, five: Governed, superuser: Database) -> None:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege), superuser.transaction() as cursor:
            cursor.execute("SET session_replication_role = replica; DELETE FROM airlock.ledger")

    def test_what_must_be_signed_is_not_taken_unsigned(self, governed: Governed) -> None:
        with pytest.raises(UserError, match="must be signed"):
            governed.ledger.append("decision", {"use_case": "digits"})
        with pytest.raises(UserError, match="is not signed"):
            governed.ledger.append("promotion", {"use_case": "digits"}, governed.signer)

    def test_a_worker_may_not_append_what_is_signed(self, governed: Governed) -> None:
        with pytest.raises(NotApproved, match="may not append a closed"):
            Ledger(governed.database).append("closed", {"use_case": "digits"}, governed.signer)

    def test_nobody_inserts_past_the_functions(self, governed: Governed) -> None:
        for database in (governed.database, governed.guard):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege), database.transaction() as cursor:
                cursor.execute("INSERT INTO airlock.ledger VALUES (1, '{}', 'h', '')")

    def test_a_record_without_a_use_case_or_of_another_kind(self, governed: Governed) -> None:
        with pytest.raises(UserError, match="names no use case"):
            governed.ledger.append("promotion", {})
        with pytest.raises(UserError, match="no kind of ledger record"):
            governed.ledger.append("gossip", {"use_case": "digits"})  # type: ignore[arg-type]
