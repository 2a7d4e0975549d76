"""Many writers at once, some of them killed: every acknowledged batch is there exactly once."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from airlock.stores.datasets import open_datasets
from tests.contract.dataset_writer import ROWS, batch

SCRIPT = Path(__file__).parent / "dataset_writer.py"


class Writer:
    """A writer's process, and what it was told is in."""

    def __init__(self, uri: str, number: int, batches: int) -> None:
        self.number = number
        command = [sys.executable, str(SCRIPT), uri, "storm", str(number), str(batches)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=SCRIPT.parents[2], env=None, bufsize=1
        )

    def kill_after(self, acknowledged: int) -> list[int]:
        """Kill it while it writes the batch after so many; return the batches it was told are in."""
        assert self.process.stdout
        heard = [int(self.process.stdout.readline()) for _ in range(acknowledged)]
        self.process.kill()
        rest, _ = self.process.communicate(timeout=60)
        return heard + [int(line) for line in rest.splitlines() if line.strip()]

    def finish(self) -> list[int]:
        heard, _ = self.process.communicate(timeout=1200)
        assert self.process.returncode == 0
        return [int(line) for line in heard.splitlines()]


def storm(uri: str, writers: int, batches: int, killed: int) -> None:
    """Write, kill some, begin those again, and look."""
    running = [Writer(uri, number, batches) for number in range(writers)]
    acknowledged = [
        (writer.number, number) for writer in running[:killed] for number in writer.kill_after(1 + batches // 3)
    ]
    store = open_datasets(uri)
    again = [Writer(uri, writer.number, batches) for writer in running[:killed]]
    told = {writer.number: writer.finish() for writer in [*running[killed:], *again]}
    assert all(numbers == list(range(batches)) for numbers in told.values())

    version = store.latest("storm")
    store.verify(version)
    rows = store.read(version, ["sample_id", "content"]).to_pylist()
    counts = Counter(row["sample_id"][:8] for row in rows)
    expected = {f"{writer:03}-{number:04}" for writer in range(writers) for number in range(batches)}
    assert counts.keys() == expected
    assert set(counts.values()) == {ROWS}, "a batch is there more than once, or in part"
    assert {f"{writer:03}-{number:04}" for writer, number in acknowledged} <= expected
    assert all(row["content"] == row["sample_id"].encode() * 50 for row in rows)
    # Every batch made one version: nobody overwrote what another had published.
    made = [entry.made.batch for entry in store.log("storm")]
    assert len(made) == len(set(made)) == writers * batches
    assert store.append("storm", batch(0, 0), {})[0] == version


class TestOnAFileSystem:
    def test_four_writers_one_killed(self, tmp_path: Path) -> None:
        storm(tmp_path.as_uri(), writers=4, batches=6, killed=1)

    @pytest.mark.soak
    @pytest.mark.timeout(1800)
    def test_eight_writers_two_killed(self, tmp_path: Path) -> None:
        storm(tmp_path.as_uri(), writers=8, batches=50, killed=2)


class TestOnS3:
    def test_four_writers_one_killed(self, s3_uri: str) -> None:
        storm(s3_uri, writers=4, batches=6, killed=1)

    @pytest.mark.soak
    @pytest.mark.timeout(1800)
    def test_eight_writers_two_killed(self, s3_uri: str) -> None:
        storm(s3_uri, writers=8, batches=50, killed=2)
