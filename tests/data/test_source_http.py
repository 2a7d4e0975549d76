"""Files at URLs: one, or those of a manifest; what is fetched once, resumed, and refused."""

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from data_files import assert_refused, png

from airlock.data.download import download
from airlock.data.pace import Pace
from airlock.errors import InfrastructureError, IntegrityError


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def quiet(*_: object) -> None:
    pass


class Ranged:
    """A server of one file that honours Range and If-Range, and can break off or drip.

    :cvar requests: (status sent, Range asked for) in order.
    """

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.etag = '"1"'
        self.break_after = 0
        self.requests: list[tuple[int, str | None]] = []
        self.url = ""


@pytest.fixture
def ranged() -> Iterator[Ranged]:
    file = Ranged(bytes(range(256)) * 4000)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            if self.headers.get("If-Range", file.etag) != file.etag:
                start = 0
            status = 304 if self.headers.get("If-None-Match") == file.etag else 206 if start else 200
            if start >= len(file.body):
                status = 416
            file.requests.append((status, asked))
            self.send_response(status)
            self.send_header("ETag", file.etag)
            if status == 416:
                self.send_header("Content-Range", f"bytes */{len(file.body)}")
            if start and status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(file.body) - 1}/{len(file.body)}")
            rest = file.body[start:] if status in (200, 206) else b""
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: file.break_after] if file.break_after else rest)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        file.url = f"http://127.0.0.1:{server.server_port}/file"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield file
        server.shutdown()
        thread.join()


class TestResume:
    @pytest.fixture
    def fetch(self, ranged, tmp_path):
        return lambda **more: download(ranged.url, tmp_path / "file", max_bytes=1 << 30, report=quiet, **more)

    def test_what_arrived_is_not_fetched_again(self, ranged, fetch, tmp_path):
        ranged.break_after = 300_000
        with pytest.raises(InfrastructureError, match="cannot be fetched"):
            fetch()
        kept = (tmp_path / "file.part").stat().st_size
        assert 0 < kept <= 300_000
        ranged.break_after = 0
        assert fetch(sha256=sha(ranged.body)).read_bytes() == ranged.body
        assert ranged.requests == [(200, None), (206, f"bytes={kept}-")]

    def test_another_file_meanwhile_is_fetched_whole(self, ranged, fetch):
        ranged.break_after = 300_000
        with pytest.raises(InfrastructureError):
            fetch()
        ranged.break_after, ranged.etag, ranged.body = 0, '"2"', bytes(500_000)
        assert fetch().read_bytes() == ranged.body
        assert ranged.requests[-1][0] == 200

    def test_killed_after_the_last_byte(self, ranged, fetch, tmp_path):
        fetch()
        (tmp_path / "file").rename(tmp_path / "file.part")
        assert fetch().read_bytes() == ranged.body
        assert ranged.requests[-1] == (416, f"bytes={len(ranged.body)}-")

    def test_a_whole_file_is_asked_for_only(self, ranged, fetch):
        fetch()
        assert fetch().read_bytes() == ranged.body
        assert [status for status, _ in ranged.requests] == [200, 304]

    def test_a_whole_file_of_known_sha256_is_not_even_asked_for(self, ranged, fetch):
        fetch(sha256=sha(ranged.body))
        fetch(sha256=sha(ranged.body))
        assert len(ranged.requests) == 1

    def test_an_altered_file_is_fetched_again(self, ranged, fetch, tmp_path):
        fetch()
        (tmp_path / "file").write_bytes(b"altered")
        assert fetch().read_bytes() == ranged.body

    def test_a_wrong_sha256_leaves_nothing_behind(self, ranged, fetch, tmp_path):
        with pytest.raises(IntegrityError, match="not 0000"):
            fetch(sha256="0" * 64)
        assert not list(tmp_path.iterdir())


class TestPace:
    def test_a_server_that_drips_is_given_up(self, tmp_path, dripping):
        began = time.monotonic()
        with pytest.raises(InfrastructureError, match="below 1,024 bytes a second") as caught:
            download(dripping, tmp_path / "f", max_bytes=1 << 20, report=quiet, pace=Pace(window=0.5))
        assert time.monotonic() - began < 5
        assert "goes on where it stopped" in caught.value.hint


class TestManifest:
    @pytest.fixture
    def listed(self, site):
        """Give ``listed(entry, …)``: the URL of a manifest with these lines."""

        def serve(*entries: dict) -> str:
            return site.serve("/set/manifest.jsonl", "\n".join(map(json.dumps, entries)).encode())

        return serve

    def test_files_with_labels_groups_and_metadata(self, ingest, rows, site, listed):
        for number in (1, 2):
            site.serve(f"/set/{number}.png", png(number))
        url = listed(
            {"url": "1.png", "sha256": sha(png(1)), "label": "cat", "group": "g", "metadata": {"site": 3}},
            {"url": site.url + "/set/2.png", "label": "dog", "split": "test"},
        )
        found = rows(ingest(kind="manifest", location=url).outputs["samples"]).to_pylist()
        assert [row["content"] for row in found] == [png(1), png(2)]
        assert [(row["label"], row["group"], row["source_split"]) for row in found] == [
            ("cat", "g", None),
            ("dog", None, "test"),
        ]
        assert json.loads(found[0]["metadata"]) == {"site": 3}
        assert [row["source"] for row in found] == ["set/1.png", "set/2.png"]

    def test_one_file(self, ingest, rows, site):
        result = ingest(kind="http", location=site.serve("/1.png", png(1)), label="cat", sha256=sha(png(1)))
        assert rows(result.outputs["samples"])["label"].to_pylist() == ["cat"]

    def test_a_file_with_another_sha256(self, ingest, site, listed):
        site.serve("/set/1.png", png(1))
        result = ingest(kind="manifest", location=listed({"url": "1.png", "sha256": sha(b"other")}))
        assert_refused(result, "IntegrityError", "/set/1.png", sha(png(1)), sha(b"other"))

    @pytest.mark.parametrize(
        ("entries", "parts"),
        [
            ([{"url": "1.png"}, {"url": "1.png"}], ("/set/1.png twice", "lines 1 and 2")),
            ([{"file": "1.png"}], ("not valid at line 1", "file", '"sha256"')),
            ([{"url": "ftp://host/1.png"}], ("'ftp://host/1.png' at line 1", "no http(s) URL")),
            ([{"url": "missing.png"}], ("/set/missing.png answers 404",)),
            ([], ("/set/manifest.jsonl serves zero bytes",)),
        ],
    )
    def test_broken(self, ingest, listed, entries, parts):
        assert_refused(ingest(kind="manifest", location=listed(*entries)), "SourceError", *parts)

    def test_a_file_larger_than_allowed(self, ingest, site, listed):
        site.serve("/set/big", bytes(2000))
        result = ingest(kind="manifest", location=listed({"url": "big"}), max_member_bytes=1000)
        assert_refused(result, "SourceError", "/set/big", "max_bytes=1,000")

    def test_the_token_goes_to_the_sources_own_server_only(self, ingest, monkeypatch, listed, site):
        monkeypatch.setenv("SET_TOKEN", "hunter2")
        seen: Counter[str] = Counter()

        class Other(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen[self.headers.get("Authorization", "none")] += 1
                self.send_response(200)
                self.send_header("Content-Length", "1")
                self.end_headers()
                self.wfile.write(b"x")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            other = f"http://127.0.0.1:{server.server_port}"
            ingest(kind="manifest", location=listed({"url": other + "/x"}), token_env="SET_TOKEN")
            ingest(kind="http", location=other + "/y", token_env="SET_TOKEN")
            server.shutdown()
            thread.join()
        assert seen["none"] == 1
        assert seen["Bearer hunter2"] >= 1
