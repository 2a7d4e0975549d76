"""The zip source, through the ingest step: what an honest archive holds, and what a hostile one may not do."""

import struct
import zipfile
from pathlib import Path

import pytest
from data_files import assert_refused, png

from airlock.data.sources import parse_source


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path


PETS = {"cat/1.png": png(1), "cat/2.png": png(2), "dog/1.png": png(3)}


def test_class_is_the_folder_in_the_archive(ingest, rows, tmp_path):
    path = archive(tmp_path / "pets.zip", PETS | {"__MACOSX/cat/._1.png": b"x", "cat/.DS_Store": b"x"})
    result = ingest(kind="zip", location=str(path))
    assert result.failure is None
    found = {row["source"]: row for row in rows(result.outputs["samples"]).to_pylist()}
    assert {name: row["content"] for name, row in found.items()} == PETS
    assert [row["label"] for row in found.values()] == ["cat", "cat", "dog"]
    assert found["dog/1.png"]["origin"] == "folder name in zip"


def test_root_names_the_folder_that_holds_the_classes(ingest, rows, tmp_path):
    path = archive(tmp_path / "pets.zip", {f"pets-v1/{name}": data for name, data in PETS.items()} | {"README": b"hi"})
    result = ingest(kind="zip", location=str(path), root="pets-v1")
    assert rows(result.outputs["samples"])["label"].to_pylist() == ["cat", "cat", "dog"]


def test_archive_at_a_url(ingest, site, tmp_path):
    url = site.serve("/pets.zip", archive(tmp_path / "pets.zip", PETS).read_bytes(), Content_Type="application/zip")
    assert ingest(kind="zip", location=url).outputs["rows"] == 3


def test_fingerprint_follows_the_file(tmp_path):
    path = archive(tmp_path / "pets.zip", PETS)
    source = parse_source({"kind": "zip", "location": str(path)})
    before = source.fingerprint()
    archive(path, {"cat/1.png": png(4)})
    assert source.fingerprint() != before


@pytest.mark.parametrize("name", ["../evil.png", "cat/../../evil.png", "/etc/evil.png", "cat\\..\\evil.png"])
def test_member_outside_its_folder(ingest, tmp_path, name):
    result = ingest(kind="zip", location=str(archive(tmp_path / "evil.zip", PETS | {name: png(9)})))
    assert_refused(result, "SourceError", "evil.zip", "evil.png", "outside", "do not trust")
    assert not list(tmp_path.rglob("evil.png"))


def test_bomb_of_many_bytes(ingest, tmp_path):
    path = archive(tmp_path / "bomb.zip", {f"cat/{number}": bytes(300_000) for number in range(4)})
    assert path.stat().st_size < 5000
    result = ingest(kind="zip", location=str(path), max_bytes=1_000_000)
    assert_refused(result, "SourceError", "bomb.zip", "unpacks to 1,200,000 bytes", "max_bytes=1,000,000", "zip bomb")


def test_bomb_in_one_member(ingest, tmp_path):
    path = archive(tmp_path / "bomb.zip", {"cat/big": bytes(2_000_000)})
    result = ingest(kind="zip", location=str(path), max_member_bytes=1_000_000)
    assert_refused(result, "SourceError", "cat/big", "max_member_bytes=1,000,000")


def test_bomb_of_many_members(ingest, tmp_path):
    path = archive(tmp_path / "bomb.zip", {f"cat/{number}": b"" for number in range(50)})
    result = ingest(kind="zip", location=str(path), max_members=49)
    assert_refused(result, "SourceError", "holds 50 files", "max_members=49")


def test_bomb_that_lies_about_its_size(ingest, tmp_path):
    path = archive(tmp_path / "bomb.zip", {"cat/big": bytes(2_000_000)})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 2_000_000), struct.pack("<I", 10)))
    assert_refused(ingest(kind="zip", location=str(path)), "SourceError", "bomb.zip", "cat/big", "damaged")


def test_not_a_zip(ingest, tmp_path):
    (tmp_path / "pets.zip").write_bytes(b"not an archive")
    result = ingest(kind="zip", location=str(tmp_path / "pets.zip"))
    assert_refused(result, "SourceError", "pets.zip", "not a zip archive", "unzip -t")


def test_zip_cut_short(ingest, tmp_path):
    path = archive(tmp_path / "pets.zip", PETS)
    path.write_bytes(path.read_bytes()[:-40])
    assert_refused(ingest(kind="zip", location=str(path)), "SourceError", "pets.zip", "cut short")


def test_member_with_flipped_bytes(ingest, tmp_path):
    path = archive(tmp_path / "pets.zip", PETS)
    data = bytearray(path.read_bytes())
    start = data.index(b"cat/1.png") + len("cat/1.png") + 20
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(data)
    assert_refused(ingest(kind="zip", location=str(path)), "SourceError", "cat/1.png", "damaged", "Fetch the archive")


def test_encrypted_member(ingest, tmp_path):
    path = archive(tmp_path / "pets.zip", {"cat/1.png": png(1)})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    assert_refused(
        ingest(kind="zip", location=str(path)), "SourceError", "cat/1.png", "encrypted", "without a password"
    )


def test_archive_without_samples(ingest, tmp_path):
    assert_refused(ingest(kind="zip", location=str(archive(tmp_path / "e.zip", {}))), "SourceError", "no sample")


def test_archive_that_does_not_exist(ingest, tmp_path):
    result = ingest(kind="zip", location=str(tmp_path / "nowhere.zip"))
    assert_refused(result, "SourceError", "nowhere.zip", "does not exist")
