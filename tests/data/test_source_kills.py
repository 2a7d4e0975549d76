"""An ingest or a stream killed at any point: the next try goes on, nothing twice, nothing lost."""

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pyarrow.parquet as pq
import pytest
from step_process import kill_when, start

from airlock.data.journal import Journal
from airlock.data.samples import Sample
from airlock.data.sources.source import Item
from airlock.references import Artifact
from airlock.settings import Settings
from airlock.steps.contract import Result
from airlock.stores.database import Database
from airlock.stores.layers import open_layers
from airlock.stores.streams import StreamStore

OBJECTS = 150


class Publisher:
    """A web site with a manifest of many small files; it counts what is asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.log: list[str] = []

    @staticmethod
    def body(path: str) -> bytes:
        return (path * 50).encode()

    def manifest(self, name: str) -> bytes:
        entries = (f"/{name}/{number}" for number in range(OBJECTS))
        lines = ({"url": path, "sha256": hashlib.sha256(self.body(path)).hexdigest()} for path in entries)
        return "\n".join(map(json.dumps, lines)).encode()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    site = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/")
            body = site.manifest(name.removesuffix(".jsonl")) if name.endswith(".jsonl") else site.body(self.path)
            if "/" in name:
                site.log.append(self.path)
                time.sleep(0.01)
            try:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:  # whoever asked was killed
                return

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Connections of killed processes are reset."""

    with Server(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield site
        server.shutdown()
        thread.join()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    stores = {name: (tmp_path / name).as_uri() for name in ("artifacts", "sealed")}
    return Settings(home=str(tmp_path / "home"), **stores)


def result_of(settings: Settings, step: str, run: str, attempt: int) -> Result:
    data = open_layers(settings).document(f"results/test/{run}/{step}/{attempt}.json")
    assert data is not None, "a try that was not killed leaves a result"
    result = msgspec.json.decode(data, type=Result)
    assert result.failure is None, result.failure
    return result


def contents(settings: Settings, samples: dict[str, Any], folder: Path) -> list[bytes]:
    reference = Artifact(digest=samples["digest"], size=samples["size"])
    table = pq.read_table(open_layers(settings).fetch(reference, folder / "samples.parquet"))
    found: list[bytes] = table["content"].to_pylist()
    return found


def journalled(home: str) -> set[str]:
    """Paths of what is safe in the journals."""
    found: set[str] = set()
    for path in Path(home).glob("spool/*/journal"):
        with Journal(path) as journal:
            found |= {f"/{name.partition('://')[2].partition('/')[2]}" for name, _ in journal._places}
    return found


def storm(settings: Settings, publisher: Publisher, kills: int, folder: Path) -> None:
    """Kill ingests at random points until there were that many kills; each ingest is tried until it ends."""
    chance = random.Random(kills)
    done = rounds = 0
    while done < kills:
        rounds += 1
        name, attempt = f"set{rounds}", 0
        inputs = {"source": {"kind": "manifest", "location": f"{publisher.url}/{name}.jsonl"}, "fingerprint": name}
        for attempt in range(1, 1000):
            before = len(publisher.log)
            process = start(settings, "ingest", inputs, name, attempt)
            wanted = before + chance.randrange(0, OBJECTS // 2) if chance.random() < 0.7 else None
            until = time.monotonic() + chance.uniform(0, 3)
            killed = done < kills and kill_when(
                process,
                lambda wanted=wanted, until=until: (  # type: ignore[misc]
                    len(publisher.log) >= wanted if wanted is not None else time.monotonic() >= until
                ),
            )
            if not killed:
                process.join()
                break
            done += 1
            time.sleep(0.05)  # answers to a killed process are still being written
            safe, mark = journalled(settings.home), len(publisher.log)
            again = start(settings, "ingest", inputs, name, 1000 + attempt) if chance.random() < 0.2 else None
            if again:  # a try that is killed at once, while it recovers the journal
                soon = time.monotonic() + 0.4
                kill_when(again, lambda soon=soon: time.monotonic() >= soon)  # type: ignore[misc]
            publisher.log[mark:] = [path for path in publisher.log[mark:] if path not in safe] + [
                f"TWICE {path}" for path in publisher.log[mark:] if path in safe
            ]
        outputs = result_of(settings, "ingest", name, attempt).outputs
        expected = sorted(publisher.body(f"/{name}/{number}") for number in range(OBJECTS))
        assert sorted(contents(settings, outputs["samples"], folder)) == expected, "nothing twice, nothing lost"
        assert (outputs["rows"], outputs["duplicates"]) == (OBJECTS, 0)
        assert not [path for path in publisher.log if path.startswith("TWICE")]
        assert not list(Path(settings.home).glob("spool/*/journal")), "what is safe elsewhere is dropped"


class TestIngest:
    def test_five_kills(self, settings: Settings, publisher: Publisher, tmp_path: Path) -> None:
        storm(settings, publisher, 5, tmp_path)

    @pytest.mark.soak
    def test_fifty_kills(self, settings: Settings, publisher: Publisher, tmp_path: Path) -> None:
        storm(settings, publisher, 50, tmp_path)

    def test_what_was_verified_is_not_fetched_again(
        self, settings: Settings, publisher: Publisher, tmp_path: Path
    ) -> None:
        inputs = {"source": {"kind": "manifest", "location": f"{publisher.url}/once.jsonl"}}
        assert kill_when(start(settings, "ingest", inputs, "once", 1), lambda: len(publisher.log) >= 60)
        time.sleep(0.1)
        safe = journalled(settings.home)
        assert len(safe) >= 60 - 32, "all but what was on its way when the kill came"
        publisher.log.clear()
        start(settings, "ingest", inputs, "once", 2).join()
        assert len(publisher.log) == len(set(publisher.log)), "a file is asked for once"
        assert not safe & set(publisher.log), "nor is what an earlier try has"
        assert result_of(settings, "ingest", "once", 2).outputs["rows"] == OBJECTS

    def test_killed_after_its_samples_were_stored(self, settings: Settings, publisher: Publisher) -> None:
        inputs = {"source": {"kind": "manifest", "location": f"{publisher.url}/late.jsonl"}, "fingerprint": "x"}
        start(settings, "ingest", inputs, "late", 1).join()
        first = result_of(settings, "ingest", "late", 1).outputs
        publisher.log.clear()
        start(settings, "ingest", inputs, "late", 2).join()
        assert result_of(settings, "ingest", "late", 2).outputs == first
        assert publisher.log == [], "the receipt of the first try names what is stored"
        start(settings, "ingest", inputs | {"fingerprint": ""}, "late", 3).join()
        assert len(publisher.log) == OBJECTS, "the source may have changed when nobody says that it did not"
        publisher.log.clear()
        start(settings, "ingest", inputs, "another", 1).join()
        assert len(publisher.log) == OBJECTS, "another run fetches for itself"


class TestJournal:
    def item(self, number: int) -> Item:
        return Item(f"n{number}", "f")

    def sample(self, number: int) -> Sample:
        return Sample(source=f"n{number}", content=bytes([number]) * 100, metadata={"n": number})

    def test_a_record_cut_at_any_byte_is_left_out(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        with Journal(path) as journal:
            for number in range(3):
                journal.add(self.item(number), self.sample(number))
        whole = path.read_bytes()
        for keep in range(len(whole) + 1):
            path.write_bytes(whole[:keep])
            with Journal(path) as journal:
                count = len(journal)
                assert [journal[self.item(number)] for number in range(count)] == [*map(self.sample, range(count))]
                journal.add(self.item(9), self.sample(9))
            with Journal(path) as journal:
                assert len(journal) == count + 1
        assert count == 3

    def test_an_item_that_changed_is_another(self, tmp_path: Path) -> None:
        with Journal(tmp_path / "journal") as journal:
            journal.add(self.item(1), self.sample(1))
            assert self.item(1) in journal
            assert Item("n1", "other") not in journal


def stream_storm(settings: Settings, database: Database, kills: int, folder: Path) -> None:
    """Let a folder grow while runs of a stream take from it and are killed."""
    chance, grown, done, run = random.Random(kills), folder / "grown" / "x", 0, 0
    grown.mkdir(parents=True)
    written = 0

    def grow() -> None:
        nonlocal written
        if written and done >= kills:
            return
        for _ in range(chance.randrange(5, 40)):
            (grown / f"{written}.txt").write_bytes(f"content {written}".encode())
            written += 1

    taken: list[bytes] = []
    inputs = {
        "stream": "growing",
        "source": {"kind": "folder", "location": str(grown.parent)},
        "settle": 0,
        "max_objects": 50,
    }
    while True:
        run += 1
        grow()
        for attempt in range(1, 1000):
            process = start(settings, "stream", inputs, str(run), attempt)
            end = time.monotonic() + chance.uniform(0.2, 2.5)
            killed = done < kills and kill_when(process, lambda end=end: time.monotonic() >= end)  # type: ignore[misc]
            done += killed
            grow()
            if not killed:
                process.join()
                break
        outputs = result_of(settings, "stream", str(run), attempt).outputs
        if outputs["samples"]:
            taken += contents(settings, outputs["samples"], folder)
        if done >= kills and not outputs["waiting"]:
            break
    final = start(settings, "stream", inputs, "last", 1)
    final.join()
    last = result_of(settings, "stream", "last", 1).outputs
    taken += contents(settings, last["samples"], folder) if last["samples"] else []
    assert sorted(taken) == sorted(f"content {number}".encode() for number in range(written))
    batches = StreamStore(database).batches("growing")
    assert sum(batch.objects for batch in batches) == written
    assert [batch.number for batch in batches] == list(range(1, len(batches) + 1))


class TestStream:
    @pytest.fixture
    def settings(self, settings: Settings, database: Database) -> Settings:
        return msgspec.structs.replace(settings, database=database.dsn)

    def test_five_kills(self, settings: Settings, database: Database, tmp_path: Path) -> None:
        stream_storm(settings, database, 5, tmp_path)

    @pytest.mark.soak
    def test_fifty_kills(self, settings: Settings, database: Database, tmp_path: Path) -> None:
        stream_storm(settings, database, 50, tmp_path)

    def test_two_at_once_take_turns(self, settings: Settings, database: Database, tmp_path: Path) -> None:
        (tmp_path / "grown" / "x").mkdir(parents=True)
        for number in range(60):
            (tmp_path / "grown" / "x" / str(number)).write_text(str(number))
        source = {"kind": "folder", "location": str(tmp_path / "grown")}
        inputs = {"stream": "s", "source": source, "settle": 0, "max_objects": 25}
        running = [start(settings, "stream", inputs, str(run), 1) for run in range(4)]
        for process in running:
            process.join()
        found = [result_of(settings, "stream", str(run), 1).outputs for run in range(4)]
        assert sorted(one["objects"] for one in found) == [0, 10, 25, 25]
        assert sum(one["rows"] for one in found) == 60


class TestSimulator:
    def test_it_dies_with_its_step(self, settings: Settings, tmp_path: Path) -> None:
        command = ["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 300"]
        process = start(settings, "ingest", {"source": {"kind": "simulator", "command": command, "seed": 1}}, "sim", 1)
        assert kill_when(process, lambda: bool((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
        pid = int((tmp_path / "pid").read_text())
        wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def wait_for(reached: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)
