"""Bad input, each kind with its message: what it was, which rule it breaks, and the way out.

Archives, tables, S3, SQL and simulators have theirs beside their sources' tests (``test_source_*.py``); here are
servers and files as the ingest step meets them, whatever the kind of source.
"""

import gzip
from pathlib import Path

import pytest
from data_files import assert_refused, image_folder, png
from test_source_zip import PETS, archive

from airlock.data import download as downloads
from airlock.data.pace import Pace
from airlock.data.sources import parse_source
from airlock.errors import UserError

ONE_FILE = ["zip", "tar", "csv", "jsonl", "parquet", "http"]


@pytest.mark.parametrize("kind", ONE_FILE)
class TestEveryKindOfFileAtAUrl:
    """The same answers of a server, whatever is expected of it."""

    def test_redirects_in_a_circle(self, ingest, site, kind):
        url = site.serve("/loop", b"", status=302, Location=site.url + "/loop")
        assert_refused(ingest(kind=kind, location=url), "SourceError", "/loop", "redirect", "Correct the source's")

    def test_a_page_that_asks_to_log_in(self, ingest, site, kind):
        url = site.serve("/data", b"<!DOCTYPE html><title>Log in</title>", Content_Type="text/html")
        assert_refused(ingest(kind=kind, location=url), "SourceError", "/data", "HTML page, not data", "file itself")

    def test_not_there(self, ingest, site, kind):
        assert_refused(ingest(kind=kind, location=site.url + "/no"), "SourceError", "/no answers 404", "browser")

    @pytest.mark.parametrize("status", [500, 503])
    def test_server_in_trouble(self, ingest, site, kind, status):
        result = ingest(kind=kind, location=site.serve("/x", b"", status=status))
        assert_refused(result, "InfrastructureError", f"/x answers {status}", category="infrastructure")

    def test_zero_bytes(self, ingest, site, kind):
        assert_refused(ingest(kind=kind, location=site.serve("/x", b"")), "SourceError", "/x serves zero bytes")

    def test_too_much(self, ingest, site, kind):
        result = ingest(kind=kind, location=site.serve("/x", bytes(3000)), max_bytes=1000)
        assert_refused(result, "SourceError", "/x serves 3,000 bytes or more", "max_bytes=1,000", "Raise max_bytes")

    def test_another_sha256(self, ingest, site, kind):
        result = ingest(kind=kind, location=site.serve("/x", b"data"), sha256="ab" * 32)
        assert_refused(result, "IntegrityError", "/x has the sha256", "ab" * 32, "do not use it")

    def test_nobody_listens(self, ingest, free_port, kind):
        result = ingest(kind=kind, location=f"http://127.0.0.1:{free_port}/x")
        assert_refused(result, "InfrastructureError", str(free_port), "run the task again", category="infrastructure")


def test_a_server_that_drips(ingest, dripping, monkeypatch):
    monkeypatch.setattr(downloads, "Pace", lambda: Pace(window=0.3))
    result = ingest(kind="zip", location=dripping)
    parts = ("/slow sent", "below 1,024 bytes a second", "goes on where it stopped")
    assert_refused(result, "InfrastructureError", *parts, category="infrastructure")


@pytest.mark.parametrize("keep", [0, 10, 100, -1, -30])
def test_zip_cut_anywhere(ingest, tmp_path, keep):
    path = archive(tmp_path / "pets.zip", PETS)
    path.write_bytes(path.read_bytes()[:keep])
    assert_refused(ingest(kind="zip", location=str(path)), "SourceError", "pets.zip", "cut short", "unzip -t")


@pytest.mark.parametrize(
    ("kind", "content", "parts"),
    [
        ("zip", png(1), ("not a zip archive",)),
        ("zip", gzip.compress(b"x", mtime=0), ("not a zip archive",)),
        ("csv", png(1), ("not utf-8 at line 1", "0x89")),
        ("jsonl", png(1), ("not UTF-8 at line 1",)),
        ("parquet", b"a,b\n1,2\n", ("no Parquet file",)),
    ],
)
def test_wrong_extension(ingest, tmp_path, kind, content, parts):
    (tmp_path / f"data.{kind}").write_bytes(content)
    result = ingest(kind=kind, location=str(tmp_path / f"data.{kind}"))
    assert_refused(result, "SourceError", f"data.{kind}", *parts)


@pytest.mark.parametrize("kind", ["zip", "tar", "csv", "jsonl", "parquet"])
def test_a_folder_where_a_file_should_be(ingest, tmp_path, kind):
    result = ingest(kind=kind, location=str(tmp_path))
    assert_refused(result, "SourceError", str(tmp_path), "is not a file", "Name a file")


@pytest.mark.parametrize("kind", ["zip", "tar", "csv", "jsonl", "parquet"])
def test_a_file_with_another_sha256(ingest, tmp_path, kind):
    (tmp_path / "x").write_bytes(b"data")
    result = ingest(kind=kind, location=str(tmp_path / "x"), sha256="cd" * 32)
    assert_refused(result, "IntegrityError", str(tmp_path / "x"), "cd" * 32, "Compare the file")


def test_a_file_that_vanishes_while_it_is_read(tmp_path):
    folder = image_folder(tmp_path / "pets", {"cat": 2})
    source = parse_source({"kind": "folder", "location": str(folder)})
    with source.open(tmp_path, lambda *_: None) as samples:
        (folder / "cat" / "0002.png").unlink()
        assert samples[0].content
        with pytest.raises(UserError, match=r"0002\.png cannot be read: No such file"):
            samples[1]


def test_a_stream_of_something_that_lists_nothing(run_step, tmp_path: Path):
    result = run_step("stream", stream="s", source={"kind": "sklearn"})
    assert_refused(result, "UserError", "'sklearn' lists no objects", "folder or s3")


def test_a_token_that_is_not_set(ingest, site):
    result = ingest(kind="http", location=site.serve("/x", b"data"), token_env="NO_SUCH_TOKEN")
    assert_refused(result, "UserError", "NO_SUCH_TOKEN", "not set", "never belongs into a DAG file")


def test_a_secret_in_a_location_is_not_shown():
    with pytest.raises(UserError) as caught:
        parse_source({"kind": "http", "location": "http://me:hunter2@host/x?signature=hunter2", "colour": 1})
    assert "hunter2" not in str(caught.value)
