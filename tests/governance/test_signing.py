"""Keys: private ones closed to others, public ones found by the name of what they are."""

import stat
from pathlib import Path

import pytest

from airlock.errors import IntegrityError, UserError
from airlock.governance.signing import create_keypair, load_signer, public_keys, verify_signature


def test_a_signature_is_its_keys_about_its_data_only(tmp_path: Path) -> None:
    signer, other = load_signer(path=create_keypair(tmp_path)), load_signer(path=create_keypair(tmp_path))
    keys = public_keys(str(tmp_path / "public"))
    signature = signer.sign(b"data")
    verify_signature(keys, signer.key_id, signature, b"data")
    for name, data in ((signer.key_id, b"other"), (other.key_id, b"data")):
        with pytest.raises(IntegrityError, match="not one of key"):
            verify_signature(keys, name, signature, data)


def test_a_private_key_is_for_its_owner_only_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = create_keypair(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    name = f"{load_signer(path=path).key_id}.pem"
    assert sorted(item.relative_to(tmp_path).as_posix() for item in tmp_path.rglob("*.*")) == [
        f"private/{name}",
        f"public/{name}",
    ]


def test_a_key_in_a_variable_is_the_key_in_the_file(tmp_path: Path) -> None:
    path = create_keypair(tmp_path)
    assert load_signer(path.read_text()).key_id == load_signer(path=path).key_id


def test_no_folder_means_no_keys(tmp_path: Path) -> None:
    assert public_keys(str(tmp_path / "none")) == {}


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----\n"])
def test_a_key_file_that_is_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"signing key {path} cannot be read.*airlock up"):
        load_signer(path=path)
