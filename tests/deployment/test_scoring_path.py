"""Predictions on their way to the scoring store: nobody waits for them, none is lost or doubled, drops are counted."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from airlock.deployment import predictions
from airlock.deployment.child import Child
from airlock.deployment.package import Package
from airlock.deployment.predictions import Note, PredictionLog
from airlock.deployment.shipping import SPOOL, Shipper
from airlock.deployment.spool import Predicted, Segment, Spool, Truth, segments
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.database import Database, open_database
from airlock.stores.scoring import Scoring

pytestmark = pytest.mark.integration
RELEASE = "c" * 64
INFER = "/v2/models/shapes/infer"


def predicted(name: str, **changes: object) -> Predicted:
    return Predicted(id=name, time=1.0, input="sha256:i", outputs={"label": "left"}, label="left", latency=0.1,
                     status=200, **changes)  # fmt: skip


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / SPOOL / "shapes" / RELEASE, 1 << 20)


@pytest.fixture
def shipper(tmp_path: Path, database: Database, artifacts: ArtifactStore) -> Shipper:
    return Shipper(tmp_path / SPOOL, Scoring(database), artifacts)


class TestServer:
    @pytest.fixture
    def server(self, serve: Callable[..., Child], package: Package) -> Iterator[Child]:
        return serve(package, payload_share=1.0)

    def ship(self, shipper: Shipper, wait: Callable[..., float], count: int) -> None:
        def there() -> bool:
            shipper.ship()
            found = shipper.scoring.predictions("shapes")
            return len(found) >= count and any(row.truth for row in found)

        wait(there, 20, "predictions and truth are there")

    def test_notes_every_row_and_takes_the_truth_later(
        self, server: Child, shipper: Shipper, png: Callable[..., bytes], wait: Callable[..., float]
    ) -> None:
        rows = np.stack([np.full((8, 8, 1), n, np.uint8) for n in (0, 9)])
        tensor = {"name": "image", "datatype": "UINT8", "shape": [2, 8, 8, 1], "data": rows.ravel().tolist()}
        batch = httpx.post(server.url + INFER, json={"inputs": [tensor]}).json()["parameters"]["prediction"]
        headers = {"Content-Type": "image/png"}
        answer = httpx.post(server.url + "/predict", content=png("top"), headers=headers).json()
        told = httpx.post(server.url + "/feedback", json={"prediction": f"{batch}.1", "truth": "left"})
        assert told.status_code == 202
        self.ship(shipper, wait, 3)
        found = {row.id: row for row in shipper.scoring.predictions("shapes", server.manifest)}
        assert found.keys() == {f"{batch}.0", f"{batch}.1", answer["prediction"]}
        assert found[f"{batch}.1"].truth == "left"
        single = found[answer["prediction"]]
        assert (single.label, single.probability) == ("top", pytest.approx(answer["probability"]))
        assert single.outputs["probabilities"].keys() == {"left", "right", "top"}
        assert single.status == 200
        assert 0 < single.latency < 5
        assert single.payload
        assert shipper.artifacts.read(single.payload) == png("top")
        kept = np.load(io.BytesIO(shipper.artifacts.read(found[f"{batch}.1"].payload or "")))
        assert kept["image"].tolist() == rows[1].tolist()
        assert not segments(shipper.folder)

    @pytest.mark.parametrize("name", ["0" * 40, "x", "", "0" * 40 + ".1", "\u0661" * 40])
    def test_does_not_know_an_id_it_never_gave(self, server: Child, name: str) -> None:
        reply = httpx.post(server.url + "/feedback", json={"prediction": name, "truth": "left"})
        assert reply.status_code == 404
        assert "There is no prediction" in reply.json()["error"]

    @pytest.mark.parametrize(
        "body",
        [b"{}", b"words", b'{"prediction": 1, "truth": 2}', b"[" * 5000, b'{"prediction": "x", "truth": "\\u0000"}'],
    )
    def test_refuses_what_is_no_feedback(self, server: Child, body: bytes) -> None:
        assert httpx.post(server.url + "/feedback", content=body).status_code == 400


class TestServerWithoutASpool:
    def test_takes_no_feedback(self, server: Child) -> None:
        reply = httpx.post(server.url + "/feedback", json={"prediction": "x", "truth": "left"})
        assert reply.status_code == 409
        assert "--spool" in reply.json()["error"]


class TestSpool:
    def test_knows_its_own_ids_after_a_restart(self, spool: Spool) -> None:
        name = spool.new_id()
        other = Spool(spool.folder.parent / ("d" * 64), 1 << 20)
        assert other.knows(name)
        assert other.knows(name + ".7")
        assert not other.knows(name[:-1] + ("0" if name[-1] != "0" else "1"))
        assert not other.knows(name + ".x")

    def test_of_another_use_case_does_not(self, spool: Spool, tmp_path: Path) -> None:
        assert not Spool(tmp_path / SPOOL / "others" / RELEASE, 1).knows(spool.new_id())

    def test_that_is_full_counts_what_it_drops(self, tmp_path: Path) -> None:
        log = PredictionLog(Spool(tmp_path / "x" / RELEASE, 1000), 0.0, lambda row: {"label": "left"})
        log.start()
        inputs = {"image": np.zeros((1, 8), np.uint8)}
        for number in range(500):
            log.note(Note(f"p{number}", inputs, inputs, 0.1, 200, 1.0))
        log.close()
        assert log.written + log.dropped == 500
        assert log.dropped > 0
        assert sum(path.stat().st_size for path in segments(log.spool.folder)) <= 1000

    def test_whose_writer_is_too_slow_drops_too(self, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(predictions, "MOST_WAITING", 3)
        log = PredictionLog(spool, 0.0, lambda row: None)
        for number in range(5):
            log.note(Note(f"p{number}", {"image": np.zeros((1, 1))}, None, 0.1, 503, 1.0))
        assert log.dropped == 2


class TestShipper:
    def test_ships_a_segment_once_even_if_it_dies_before_removing_it(self, spool: Spool, shipper: Shipper) -> None:
        spool.write(Segment(predictions=[predicted("p1"), predicted("p2")]))
        (path,) = segments(shipper.folder)
        data = path.read_bytes()
        assert shipper.ship() == 2
        path.write_bytes(data)
        assert shipper.ship() == 0
        assert len(shipper.scoring.predictions("shapes", "sha256:" + RELEASE)) == 2

    @pytest.mark.parametrize("data", [b"", b"words", b"\x81\xabpredictions\x01"])
    def test_puts_aside_what_is_no_segment(self, spool: Spool, shipper: Shipper, data: bytes) -> None:
        bad = spool.folder / "0.segment"
        bad.write_bytes(data)
        spool.write(Segment(predictions=[predicted("p1")]))
        assert shipper.ship() == 1
        assert [path.name for path in spool.folder.iterdir()] == ["0.bad"]

    def test_puts_aside_what_postgresql_cannot_hold(self, spool: Spool, shipper: Shipper) -> None:
        spool.write(Segment(truths=[Truth(id="t", prediction="p", truth="\0", time=1.0)]))
        assert shipper.ship() == 0
        assert [path.suffix for path in spool.folder.iterdir()] == [".bad"]


class TestPostgreSqlThatRestarts:
    def test_loses_nothing_and_doubles_nothing(
        self, tmp_path: Path, spool: Spool, artifacts: ArtifactStore, free_port: int
    ) -> None:
        from airlock.stores.migrations import upgrade

        postgres = EmbeddedPostgres(tmp_path / "postgres", free_port, options={"fsync": "off"})
        postgres.start()
        for role in ("owner", "app", "guard"):
            postgres.create_role(role, "test")
        postgres.create_database("scoring", "owner", members=("app", "guard"))
        upgrade(postgres.dsn("owner", "test", "scoring"), "app", "guard")
        scoring = Scoring(open_database(postgres.dsn("app", "test", "scoring")))
        stop = threading.Event()
        shipping = threading.Thread(target=Shipper(tmp_path / SPOOL, scoring, artifacts).run, args=(stop,))
        shipping.start()
        written = 0
        try:
            for number in range(40):
                rows = [predicted(f"p{written + row}") for row in range(25)]
                assert spool.write(Segment(predictions=rows))
                written += len(rows)
                if number in (10, 25):
                    postgres.stop()
                if number in (15, 30):
                    postgres.start()
                time.sleep(0.1)
        finally:
            stop.set()
            shipping.join()
        found = [row.id for row in scoring.predictions("shapes")]
        postgres.stop()
        assert len(found) == len(set(found)) == written
