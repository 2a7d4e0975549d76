"""The folder source, through the ingest step."""

import hashlib
import os
from pathlib import Path

import pytest
from data_files import assert_refused, image_folder, png

from airlock.data.sources import parse_source
from airlock.errors import UserError


def test_class_is_the_sub_folder_and_bytes_stay_as_they_are(ingest, rows, tmp_path):
    folder = image_folder(tmp_path / "pets", {"cat": 3, "dog": 2})
    result = ingest(kind="folder", location=str(folder))
    assert result.failure is None
    assert (result.outputs["rows"], result.outputs["duplicates"]) == (5, 0)
    found = rows(result.outputs["samples"]).to_pylist()
    assert [row["label"] for row in found] == ["cat"] * 3 + ["dog"] * 2
    for row in found:
        assert row["content"] == (folder / row["source"]).read_bytes()
        assert row["sample_id"] == hashlib.sha256(row["content"]).hexdigest()
        assert (row["origin"], row["source_split"]) == ("folder name", None)


def test_nested_files_belong_to_the_first_folder_and_loose_ones_to_no_class(ingest, rows, tmp_path):
    image_folder(tmp_path / "pets", {"cat/young": 1})
    (tmp_path / "pets" / "loose.png").write_bytes(png(77))
    result = ingest(kind="folder", location=str(tmp_path / "pets"))
    found = {row["source"]: (row["label"], row["origin"]) for row in rows(result.outputs["samples"]).to_pylist()}
    assert found == {"cat/young/0001.png": ("cat", "folder name"), "loose.png": (None, None)}


def test_hidden_files_are_no_samples(ingest, tmp_path):
    folder = image_folder(tmp_path / "pets", {"cat": 1})
    for name in (".DS_Store", "cat/.hidden.png", "cat/Thumbs.db"):
        (folder / name).write_bytes(png(5))
    assert ingest(kind="folder", location=str(folder)).outputs["rows"] == 1


def test_same_content_twice_is_one_sample_and_a_count(ingest, tmp_path):
    folder = image_folder(tmp_path / "pets", {"cat": 2})
    (folder / "cat" / "again.png").write_bytes(png(1))
    result = ingest(kind="folder", location=str(folder))
    assert (result.outputs["rows"], result.outputs["duplicates"]) == (2, 1)
    assert result.metrics["conflicting_duplicates"] == 0


def test_same_content_in_two_classes_is_reported(ingest, tmp_path, caplog):
    folder = image_folder(tmp_path / "pets", {"cat": 2, "dog": 1})
    (folder / "dog" / "again.png").write_bytes(png(1))
    result = ingest(kind="folder", location=str(folder))
    assert result.metrics["conflicting_duplicates"] == 1
    assert "dog/again.png (dog, first seen as cat)" in caplog.text


def test_a_limit_takes_samples_of_every_class(ingest, rows, tmp_path):
    folder = image_folder(tmp_path / "pets", {"cat": 10, "cow": 10, "dog": 10})
    result = ingest(kind="folder", location=str(folder), limit=6)
    assert rows(result.outputs["samples"])["label"].to_pylist() == ["cat", "cat", "cow", "cow", "dog", "dog"]


def test_same_folder_gives_the_same_bytes(ingest, tmp_path):
    folder = image_folder(tmp_path / "pets", {"cat": 3})
    first, second = (ingest(kind="folder", location=str(folder)) for _ in range(2))
    assert first.outputs == second.outputs


def test_fingerprint_changes_with_the_files_only(tmp_path):
    folder = image_folder(tmp_path / "pets", {"cat": 2})
    source = parse_source({"kind": "folder", "location": str(folder)})
    before = source.fingerprint()
    assert source.fingerprint() == before
    (folder / "cat" / "new.png").write_bytes(png(9))
    assert source.fingerprint() != before


def test_folder_that_does_not_exist(ingest, tmp_path):
    result = ingest(kind="folder", location=str(tmp_path / "nowhere"))
    assert_refused(result, "SourceError", str(tmp_path / "nowhere"), "does not exist", "Correct the location")


def test_file_where_a_folder_should_be(ingest, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    assert_refused(ingest(kind="folder", location=str(tmp_path / "file")), "SourceError", "is not a folder")


def test_empty_folder(ingest, tmp_path):
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    result = ingest(kind="folder", location=str(tmp_path / "empty"))
    assert_refused(result, "SourceError", "empty", "no sample", "Check its location")


def test_folder_at_a_url(ingest):
    assert_refused(ingest(kind="folder", location="http://127.0.0.1/pets"), "SourceError", "cannot be a URL", "zip")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_file_without_read_permission(ingest, tmp_path):
    folder = image_folder(tmp_path / "pets", {"cat": 1})
    (folder / "cat" / "0001.png").chmod(0)
    assert_refused(ingest(kind="folder", location=str(folder)), "SourceError", "0001.png", "cannot be read")


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ({"kind": "tape", "location": "/dev/st0"}, "'tape'"),
        ({"kind": "folder"}, "location"),
        ({"kind": "folder", "location": "/x", "colour": "red"}, "colour"),
        ({"location": "/x"}, "kind"),
    ],
)
def test_source_that_is_declared_wrong(source, part):
    with pytest.raises(UserError, match=part) as caught:
        parse_source(source)
    assert "folder, zip, tar" in caught.value.hint


def test_negative_limit(ingest, tmp_path: Path):
    assert_refused(ingest(kind="sklearn", limit=-1), "UserError", "limit is -1", "0 for all")
