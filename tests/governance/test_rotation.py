"""A new key signs from now on; what the old one signed verifies for ever, and it signs nothing new."""

import os
from pathlib import Path

import pytest

from airlock.errors import IntegrityError, NotApproved, UserError
from airlock.governance.authority import DATABASE, KEY, KEY_FILE, authority
from airlock.governance.rotation import keys, rotate
from airlock.governance.signing import create_keypair, load_signer
from tests.governed import Governed


def voided(governed: Governed) -> str:
    """Append something with the key in use; return its id."""
    return authority().ledger.append("void", {"use_case": "digits", "record": "x"}, authority().signer).key_id


def test_records_from_before_and_after_verify(governed: Governed) -> None:
    running = authority()  # an API server that is not restarted
    old = voided(governed)
    new = rotate(authority(), governed.keys)
    assert running.signer.key_id == new.id == voided(governed) != old
    assert governed.book().last[0] == 2
    assert [(key.id, key.last) for key in keys(governed.keys)] == [(new.id, None), (old, 1)]


def test_the_retired_private_key_is_gone(governed: Governed) -> None:
    new = rotate(authority(), governed.keys)
    assert [path.stem for path in governed.private_key.parent.glob("*.pem")] == [new.id]


def test_a_retired_key_signs_nothing_new(governed: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = governed.private_key.read_text()
    rotate(authority(), governed.keys)
    monkeypatch.setenv(KEY, kept)
    with pytest.raises(NotApproved, match="was retired"):
        authority()
    governed.ledger.append("void", {"use_case": "digits", "record": "x"}, load_signer(kept))  # as a thief would
    with pytest.raises(NotApproved, match=r"record 1 .*retired before"):
        governed.book()


def test_a_removed_public_key_is_named(governed: Governed) -> None:
    old = voided(governed)
    rotate(authority(), governed.keys)
    (Path(governed.keys) / f"{old}.pem").unlink()
    with pytest.raises(NotApproved, match=f"{old}.*not among the public keys"):
        governed.book()


def test_a_link_to_the_key_leads_to_the_new_one(governed: Governed) -> None:
    link = governed.private_key.with_name("decisions.pem")
    link.symlink_to(governed.private_key.name)
    environ = {KEY_FILE: str(link), DATABASE: governed.guard.dsn}
    new = rotate(authority(environ), governed.keys)
    assert os.readlink(link) == f"{new.id}.pem"
    assert authority(environ).signer.key_id == new.id


def test_twice(governed: Governed) -> None:
    first, second = rotate(authority(), governed.keys), rotate(authority(), governed.keys)
    assert authority().signer.key_id == second.id
    assert {key.id: key.last for key in keys(governed.keys)}[first.id] == 0


def test_a_key_in_a_variable_is_not_ours_to_replace(governed: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, governed.private_key.read_text())
    with pytest.raises(UserError, match="cannot be replaced from here"):
        rotate(authority(), governed.keys)
    assert len(keys(governed.keys)) == 1


def test_a_ledger_that_does_not_verify_keeps_its_key(governed: Governed, tmp_path: Path) -> None:
    voided(governed)
    (Path(governed.keys) / governed.private_key.name).unlink()
    create_keypair(tmp_path / "other")
    with pytest.raises(NotApproved, match="does not verify"):
        rotate(authority(), governed.keys)
    assert governed.private_key.is_file()


def test_a_list_of_retired_keys_that_is_none(governed: Governed) -> None:
    (Path(governed.keys) / "retired.json").write_text("[]")
    with pytest.raises(IntegrityError, match=r"retired\.json lists no keys"):
        authority()
