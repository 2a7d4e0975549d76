"""Datasets against DVC and plain files: the same files, the same disk, one run; both tools are called in one process.

``python benchmarks/datasets.py [FILES] [LARGE]`` (20,000 files of 10 KiB, 2,000 of 1 MiB). ``AIRLOCK_BENCH_DIR`` names
the disk. S3 is radosgw in memory on this machine; where it is not installed its figures are left out.
"""

import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from reporting import report, show

KIB, MIB = 1 << 10, 1 << 20
READS = 1000
CHANGED = 0.01
ROWS = (20_000, 1_000_000)
ROUNDS = 3
HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parent.parent))  # the tests' S3 server


def main() -> None:
    """Measure and report; with ``rows N`` only commit that many rows and print the process's peak memory."""
    if sys.argv[1:2] == ["rows"]:
        print(peak_of_commit(int(sys.argv[2])))
        return
    small, large = (
        int(sys.argv[place]) if len(sys.argv) > place else count for place, count in ((1, 20_000), (2, 2000))
    )
    import lance  # noqa: F401 - neither tool's imports are measured

    import airlock.data.adding  # noqa: F401

    with tempfile.TemporaryDirectory(prefix="airlock-bench-", dir=os.environ.get("AIRLOCK_BENCH_DIR")) as name:
        compare(Path(name) / "small", "10KiB", small, 10 * KIB)
        compare(Path(name) / "large", "1MiB", large, MIB)
    memory()


def compare(folder: Path, what: str, count: int, size: int) -> None:
    """All figures for one kind of folder."""
    print(f"== {count} files of {what}", flush=True)
    files = make_files(folder / "repo" / "data", count, size)
    dvc = prepare_dvc(folder / "repo")
    store = folder / "store"
    (first_dvc, first) = (timed(dvc), timed(lambda: ours(store, files)))
    size_before = bytes_in(store)
    seconds_dvc, seconds, changed = [], [], 0
    for number in range(ROUNDS):
        changed += change(files, size, number)
        pair = [(seconds_dvc, dvc), (seconds, lambda: ours(store, files))]
        for found, call in pair if number % 2 else reversed(pair):
            found.append(timed(call))
    growth = bytes_in(store) - size_before
    show(f"dvc_first_{what}", [first_dvc])
    show(f"airlock_first_{what}", [first])
    report(f"dvc_over_first_commit_{what}", first_dvc / first, 8, at_most=False)
    report(
        f"dvc_over_second_commit_{what}",
        show(f"dvc_second_{what}", seconds_dvc) / show(f"airlock_second_{what}", seconds),
        15,
        at_most=False,
    )
    report(f"growth_over_changed_bytes_{what}", growth / changed, 1.1)
    reads(store, files, what)
    on_s3(files, what)
    shutil.rmtree(folder)


def ours(store: Path | str, files: Path) -> object:
    """The user's path from folder to dataset version: what ``airlock data add`` calls."""
    from airlock.data.adding import add
    from airlock.data.sources import parse_source
    from airlock.stores.datasets import open_datasets

    uri = store.as_uri() if isinstance(store, Path) else store
    source = parse_source({"kind": "folder", "location": str(files)})
    with tempfile.TemporaryDirectory(prefix="airlock-add-") as workdir:
        return add(open_datasets(uri), "bench", source, Path(workdir), lambda *_progress: None)


def prepare_dvc(repository: Path):  # type: ignore[no-untyped-def]
    """Make a DVC repository; return a call of what ``dvc add data`` calls."""
    from dvc.repo import Repo

    logging.disable(logging.WARNING)
    os.environ["DVC_NO_ANALYTICS"] = "1"
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)
    found = Repo.init(str(repository))
    found.close()

    def add() -> None:
        with Repo(str(repository)) as opened:
            opened.add([str(repository / "data")], no_commit=False)

    return add


def reads(store: Path, files: Path, what: str) -> None:
    """1,000 random samples of the dataset against the files one by one, both from a warm cache.

    Neither side hashes what it reads: a version is verified once, before it is read at random; the figure with a hash
    of every row is printed beside.
    """
    from airlock.stores.datasets import open_datasets

    datasets = open_datasets(store.as_uri())
    version = datasets.latest("bench")
    listed = datasets.read(version, ["sample_id", "source"]).to_pylist()
    wanted = random.Random(1).sample(listed, min(READS, len(listed)))
    paths = [files / row["source"] for row in wanted]
    ids = [row["sample_id"] for row in wanted]
    datasets.verify(version)
    reader = datasets.reader(version)
    alone, packed, hashed = [], [], []
    for number in range(3 * ROUNDS):
        seconds = timed(lambda: [path.read_bytes() for path in paths])
        again = timed(lambda: reader.take(ids, ["content"], check=False))
        hashed.append(timed(lambda: reader.take(ids, ["content"])))
        if number:  # the first round warms both
            alone.append(seconds)
            packed.append(again)
    show(f"take_and_hash_{what}", hashed)
    ratio = show(f"take_{what}", packed) / show(f"files_one_by_one_{what}", alone)
    report(f"take_over_files_one_by_one_{what}", ratio, 1.0)


def on_s3(files: Path, what: str) -> None:
    """The same from S3, one object a sample against one dataset."""
    from tests.services import radosgw

    if reason := radosgw.missing():
        print(f"no S3 figures: {reason}", flush=True)
        return
    with radosgw.running() as server:
        os.environ.update(server.environment)
        import boto3

        client = boto3.client("s3")
        client.create_bucket(Bucket="bench")
        paths = random.Random(1).sample(sorted(path for path in files.rglob("*") if path.is_file()), READS)
        for path in paths:
            client.put_object(Bucket="bench", Key=f"files/{path.name}", Body=path.read_bytes())
        ours("s3://bench/datasets", files)
        alone, packed = s3_rounds(client, files, paths)
    for name in server.environment:
        del os.environ[name]
    report(
        f"s3_one_by_one_over_take_{what}",
        show(f"s3_one_by_one_{what}", alone) / show(f"s3_take_{what}", packed),
        20,
        at_most=False,
    )


def s3_rounds(client, files: Path, paths: list[Path]) -> tuple[list[float], list[float]]:  # type: ignore[no-untyped-def]
    """Seconds for the objects one by one, and for the same samples of the dataset."""
    from airlock.stores.datasets import open_datasets

    datasets = open_datasets("s3://bench/datasets")
    version = datasets.latest("bench")
    listed = {row["source"]: row["sample_id"] for row in datasets.read(version, ["sample_id", "source"]).to_pylist()}
    ids = [listed[path.relative_to(files).as_posix()] for path in paths]
    alone, packed = [], []
    for _ in range(ROUNDS):
        alone.append(
            timed(
                lambda: [client.get_object(Bucket="bench", Key=f"files/{path.name}")["Body"].read() for path in paths]
            )
        )
        packed.append(timed(lambda: datasets.take(version, ids, ["content"])))
    return alone, packed


def memory() -> None:
    """Peak memory of a process that commits few and many rows as a stream."""
    peaks = []
    environment = os.environ | {"MALLOC_ARENA_MAX": "2"}  # as every process of the stack has it
    for rows in ROWS:
        command = [sys.executable, str(HERE), "rows", str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        peaks.append(int(done.stdout.split()[-1]))
        print(f"peak memory of committing {rows} rows: {peaks[-1] / MIB:.0f} MiB", flush=True)
    report("memory_of_many_rows_over_few", peaks[1] / peaks[0], 1.2)


def peak_of_commit(rows: int) -> int:
    """Commit a stream of rows of 1 KiB twice, the second time with 1 % changed; return the peak in bytes."""
    import pyarrow as pa

    from airlock.stores.datasets import open_datasets

    with tempfile.TemporaryDirectory(prefix="airlock-bench-", dir=os.environ.get("AIRLOCK_BENCH_DIR")) as folder:
        for edition in range(2):
            stream = pa.RecordBatchReader.from_batches(_batch(range(1), 0).schema, _batches(rows, edition))
            open_datasets(Path(folder).as_uri()).commit("bench", stream, {})
    # Not ``getrusage``: what it gives a new process begins at the peak of the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * KIB


def _batches(rows: int, edition: int):  # type: ignore[no-untyped-def]
    return (_batch(range(start, min(rows, start + 1000)), edition) for start in range(0, rows, 1000))


def _batch(numbers: range, edition: int):  # type: ignore[no-untyped-def]
    import pyarrow as pa

    made = [random.Random(number if number % 100 else number - edition).randbytes(KIB) for number in numbers]
    return pa.record_batch({"sample_id": [f"{number:064d}" for number in numbers], "content": made})


def make_files(folder: Path, count: int, size: int) -> Path:
    """Write files that do not compress, ten folders of them."""
    source = random.Random(0)
    for number in range(count):
        path = folder / f"class{number % 10}" / f"{number:06}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(size))
    time.sleep(3)  # at rest, as a folder is that somebody adds
    return folder


def change(files: Path, size: int, edition: int) -> int:
    """Write 1 % of the files anew; return how many bytes that was."""
    source = random.Random(f"change {edition}")
    every = sorted(path for path in files.rglob("*") if path.is_file())
    chosen = source.sample(every, max(1, int(len(every) * CHANGED)))
    for path in chosen:
        path.unlink()  # DVC may have linked it to its cache
        path.write_bytes(source.randbytes(size))
    time.sleep(3)
    return len(chosen) * size


def bytes_in(folder: Path) -> int:
    """Bytes of all files below a folder, without the list of what was added, which replaces itself."""
    return sum(path.stat().st_size for path in _data(folder))


def _data(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def timed(call) -> float:  # type: ignore[no-untyped-def]
    """Seconds a call takes, once nothing of what was written before waits for the disk any more."""
    os.sync()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
