"""The tar source, through the ingest step, and its layout keys, which zip, folder and S3 share."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from data_files import assert_refused, image_folder, png

from airlock.data.sources import parse_source
from airlock.errors import UserError

PETS = {"cat/1.png": png(1), "cat/2.png": png(2), "dog/1.png": png(3)}


def tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("suffix", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tar.bz2", "w:bz2"), ("tar.xz", "w:xz")]
)
def test_every_packing(ingest, rows, tmp_path, suffix, mode):
    result = ingest(kind="tar", location=str(tar(tmp_path / f"pets.{suffix}", PETS, mode)))
    found = rows(result.outputs["samples"]).to_pylist()
    assert {row["source"]: row["content"] for row in found} == PETS
    assert [row["label"] for row in found] == ["cat", "cat", "dog"]
    assert found[0]["origin"] == "folder name in tar"


def test_a_limit_takes_samples_of_every_class(ingest, rows, tmp_path):
    members = {f"{kind}/{number}": f"{kind}{number}".encode() for kind in ("cat", "cow", "dog") for number in range(10)}
    result = ingest(kind="tar", location=str(tar(tmp_path / "pets.tgz", members)), limit=6)
    assert rows(result.outputs["samples"])["label"].to_pylist() == ["cat", "cat", "cow", "cow", "dog", "dog"]


def test_root_pattern_and_group_are_read_from_paths(ingest, rows, tmp_path):
    members = {"v1/README.TXT": b"hi", "v1/ill/p7-a.txt": b"1", "v1/ill/p7-b.txt": b"2", "v1/well/p9-a.txt": b"3"}
    path = tar(tmp_path / "notes.tar", members, "w")
    result = ingest(kind="tar", location=str(path), root="v1", pattern="*.txt", group_pattern=r"(p\d+)-")
    found = rows(result.outputs["samples"])
    assert found["label"].to_pylist() == ["ill", "ill", "well"]
    assert found["group"].to_pylist() == ["p7", "p7", "p9"]


def test_a_group_pattern_without_a_group():
    with pytest.raises(UserError, match="no group in round brackets"):
        parse_source({"kind": "folder", "location": "/x", "group_pattern": "p[0-9]"})


def test_archive_at_a_url_with_its_sha256(ingest, site, tmp_path):
    import hashlib

    data = tar(tmp_path / "pets.tgz", PETS).read_bytes()
    url = site.serve("/pets.tgz", data)
    assert ingest(kind="tar", location=url, sha256=hashlib.sha256(data).hexdigest()).outputs["rows"] == 3
    wrong = ingest(kind="tar", location=url, sha256="0" * 64)
    assert_refused(wrong, "IntegrityError", "/pets.tgz", "sha256", "0" * 64, "do not use it")


def test_the_real_articles(ingest, rows, test_data):
    location = str(test_data / "bbc-fulltext.zip")
    result = ingest(kind="zip", location=location, root="bbc", pattern="*.txt")
    assert result.outputs["rows"] + result.outputs["duplicates"] == 1781
    labels = rows(result.outputs["samples"])["label"].to_pylist()
    assert sorted(set(labels)) == ["business", "entertainment", "politics", "sport", "tech"]


def add(path: Path, info: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    return path


@pytest.mark.parametrize("name", ["../evil.png", "cat/../../evil.png", "/etc/evil.png"])
def test_member_outside_its_folder(ingest, tmp_path, name):
    info = tarfile.TarInfo(name)
    result = ingest(kind="tar", location=str(add(tmp_path / "evil.tgz", info)))
    assert_refused(result, "SourceError", "evil.tgz", "evil.png", "outside", "do not trust")
    assert not list(tmp_path.rglob("evil.png"))


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device or pipe"),
        (tarfile.BLKTYPE, "device or pipe"),
        (tarfile.FIFOTYPE, "device or pipe"),
    ],
)
def test_member_that_is_no_file(ingest, tmp_path, kind, what):
    info = tarfile.TarInfo("cat/passwd")
    info.type, info.linkname = kind, "/etc/passwd"
    result = ingest(kind="tar", location=str(add(tmp_path / "evil.tgz", info)))
    assert_refused(result, "SourceError", "evil.tgz", "'cat/passwd'", what, "--dereference")


def test_bomb_in_one_member(ingest, tmp_path):
    path = tar(tmp_path / "bomb.tgz", {"cat/big": bytes(2_000_000)})
    assert path.stat().st_size < 5000
    result = ingest(kind="tar", location=str(path), max_member_bytes=1_000_000)
    assert_refused(result, "SourceError", "cat/big", "max_member_bytes=1,000,000", "tar bomb")


def test_bomb_of_many_bytes(ingest, tmp_path):
    path = tar(tmp_path / "bomb.tgz", {f"cat/{number}": bytes(300_000) for number in range(4)})
    result = ingest(kind="tar", location=str(path), max_bytes=1_000_000)
    assert_refused(result, "SourceError", "bomb.tgz", "unpacks to 1,200,000 bytes", "max_bytes=1,000,000")


def test_bomb_of_many_members(ingest, tmp_path):
    path = tar(tmp_path / "bomb.tgz", {f"cat/{number}": b"" for number in range(50)})
    assert_refused(ingest(kind="tar", location=str(path), max_members=49), "SourceError", "50 files", "max_members=49")


def test_bomb_in_a_header(ingest, tmp_path):
    info = tarfile.TarInfo("PaxHeaders/x")
    info.type, info.size = tarfile.XHDTYPE, 3_000_000
    result = ingest(kind="tar", location=str(add(tmp_path / "bomb.tgz", info)), max_member_bytes=1_000_000)
    assert_refused(result, "SourceError", "bomb.tgz", "bytes at once", "1,000,512", "max_member_bytes")


def test_gzip_cut_short(ingest, tmp_path):
    path = tar(tmp_path / "pets.tgz", PETS)
    path.write_bytes(path.read_bytes()[:-40])
    assert_refused(ingest(kind="tar", location=str(path)), "SourceError", "pets.tgz", "cut short", "Fetch")


@pytest.mark.parametrize("keep", [512 * 2, 512 * 2 + 100, 700])
def test_tar_cut_short(ingest, tmp_path, keep):
    path = tar(tmp_path / "pets.tar", PETS, "w")
    path.write_bytes(path.read_bytes()[:keep])
    assert_refused(ingest(kind="tar", location=str(path)), "SourceError", "pets.tar", "cut short", "Fetch it again")


def test_gzip_with_flipped_bytes(ingest, tmp_path):
    path = tar(tmp_path / "pets.tgz", PETS)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8] = b"\xff" * 8
    path.write_bytes(data)
    assert_refused(ingest(kind="tar", location=str(path)), "SourceError", "pets.tgz", "Fetch")


@pytest.mark.parametrize("content", [b"", b"not an archive", png(1), gzip.compress(b"not an archive", mtime=0)])
def test_wrong_extension_or_nothing(ingest, tmp_path, content):
    (tmp_path / "pets.tgz").write_bytes(content)
    result = ingest(kind="tar", location=str(tmp_path / "pets.tgz"))
    assert_refused(result, "SourceError", "pets.tgz", "not a tar archive", "tar -tf")


def test_a_zip_with_a_symbolic_link(ingest, tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        info = zipfile.ZipInfo("cat/passwd")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    result = ingest(kind="zip", location=str(tmp_path / "evil.zip"))
    assert_refused(result, "SourceError", "evil.zip", "'cat/passwd'", "symbolic link", "zip")


def test_folder_has_the_same_layout_keys(ingest, rows, tmp_path):
    folder = image_folder(tmp_path / "pets" / "v2", {"cat": 2})
    (folder / "cat" / "notes.txt").write_text("x")
    result = ingest(kind="folder", location=str(folder.parent), root="v2", pattern="*.png")
    assert rows(result.outputs["samples"])["label"].to_pylist() == ["cat", "cat"]
