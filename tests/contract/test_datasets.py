"""What every home of datasets must do: immutable, verified versions that grow by what changed."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from airlock.errors import IntegrityError, UserError
from airlock.references import DatasetVersion
from airlock.stores.datasets import Change, DatasetStore, open_datasets

BYTES = 500


def samples(numbers: range | list[int], edition: int = 0) -> pa.Table:
    """Return samples whose content follows from number and edition."""
    content = [bytes([number % 251, edition]) * (BYTES // 2) for number in numbers]
    ids = [f"{number:08d}-{'x' * 55}" for number in numbers]
    return pa.table({"sample_id": ids, "content": content, "width": pa.array(numbers, pa.int32())})


def noise(count: int, seed: int) -> pa.Table:
    """Return samples that do not compress."""
    import random

    source = random.Random(seed)
    ids = [f"{number:08d}" for number in range(count)]
    return pa.table({"sample_id": ids, "content": [source.randbytes(BYTES) for _ in ids]})


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def digests(table: pa.Table) -> list[dict[str, object]]:
    return table.sort_by("sample_id").to_pylist()


class DatasetContract:
    """Inherit, and give a fixture ``store``."""

    def test_a_version_reads_back_as_it_was(self, store: DatasetStore) -> None:
        version, change = store.commit("d", samples(range(50)), {"limit": 50})
        assert (version.rows, change) == (50, Change(added=50))
        assert digests(store.read(version)) == digests(samples(range(50)))
        assert store.read(version, columns=["width"]).column_names == ["width"]
        assert store.process(version) == {"limit": 50}
        store.verify(version)

    def test_the_same_content_in_another_order_is_the_same_version(self, store: DatasetStore) -> None:
        first, _ = store.commit("d", samples(range(50)), {"a": 1})
        again, change = store.commit("d", samples(list(reversed(range(50)))), {"a": 2})
        assert (again, change, len(store.versions("d"))) == (first, Change(), 1)

    def test_additions_changes_and_removals_make_one_new_version(self, store: DatasetStore) -> None:
        first, _ = store.commit("d", samples(range(100)), {})
        after = pa.concat_tables([samples(range(90)), samples([95, 96], edition=1), samples(range(200, 205))])
        second, change = store.commit("d", after, {"why": "new"})
        assert change == Change(added=5, changed=2, removed=8)
        assert digests(store.read(second)) == digests(after)
        assert digests(store.read(first)) == digests(samples(range(100)))
        assert store.versions("d") == [first, second]
        assert store.process(second) == {"why": "new"}
        store.verify(second)

    def test_the_digest_follows_from_the_content_alone(self, store: DatasetStore) -> None:
        first, _ = store.commit("one", samples(range(10)), {})
        store.commit("two", samples(range(5)), {})
        second, _ = store.commit("two", samples(range(10)), {})
        assert first.digest == second.digest

    def test_another_column_is_another_version(self, store: DatasetStore) -> None:
        first, _ = store.commit("d", samples(range(10)), {})
        wider = samples(range(10)).append_column("height", pa.array(range(10), pa.int32()))
        second, change = store.commit("d", wider, {})
        assert (second.digest != first.digest, change) == (True, Change(added=10, removed=10))
        assert "height" in store.read(second).column_names
        store.verify(first)

    def test_samples_are_taken_by_id(self, store: DatasetStore) -> None:
        version, _ = store.commit("d", samples(range(50)), {})
        wanted = samples([7, 31])
        found = store.take(version, wanted["sample_id"].to_pylist(), ["sample_id", "content", "width"])
        assert digests(found) == digests(wanted)
        assert store.take(version, []).num_rows == 0

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            (lambda: samples([]), "has no rows"),
            (lambda: samples([1, 2, 1]), "00000001-x* more than once"),
            (lambda: pa.table({"width": [1]}), "no column 'sample_id'"),
            (lambda: pa.table({"sample_id": ["a", None]}), "without sample_id"),
        ],
    )
    def test_a_table_that_cannot_be_a_dataset(
        self, store: DatasetStore, table: Callable[[], pa.Table], message: str
    ) -> None:
        with pytest.raises(UserError, match=message):
            store.commit("d", table(), {})
        assert store.versions("d") == []

    @pytest.mark.parametrize("name", ["", "../d", "a/b", ".hidden", "a b"])
    def test_a_name_that_is_no_file_name(self, store: DatasetStore, name: str) -> None:
        with pytest.raises(UserError, match="no name for a dataset"):
            store.commit(name, samples(range(3)), {})

    def test_a_column_that_is_not_there(self, store: DatasetStore) -> None:
        version, _ = store.commit("d", samples(range(3)), {})
        with pytest.raises(UserError, match=r"no column colour.*content"):
            store.read(version, columns=["colour"])

    def test_a_version_that_is_not_there(self, store: DatasetStore) -> None:
        version, _ = store.commit("d", samples(range(3)), {})
        for missing in (
            DatasetVersion(name="d", version=9, digest=version.digest, rows=3),
            DatasetVersion(name="other", version=1, digest=version.digest, rows=3),
        ):
            with pytest.raises(IntegrityError, match="is not in the store"):
                store.read(missing)

    def test_a_version_with_another_digest(self, store: DatasetStore) -> None:
        version, _ = store.commit("d", samples(range(3)), {})
        wrong = DatasetVersion(name="d", version=version.version, digest="sha256:" + "0" * 64, rows=3)
        for use in (store.read, store.verify):
            with pytest.raises(IntegrityError, match="was altered"):
                use(wrong)


class TestOnAFileSystem(DatasetContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> DatasetStore:
        return open_datasets((tmp_path / "data sets").as_uri())

    def test_one_percent_of_change_adds_about_one_percent_of_bytes(self, store: DatasetStore, tmp_path: Path) -> None:
        table = noise(10_000, seed=1)
        store.commit("d", table, {})
        before = size_of(tmp_path)
        changed = pa.concat_tables([table.slice(100), noise(100, seed=2)])
        version, change = store.commit("d", changed, {})
        growth = size_of(tmp_path) / before - 1
        print(f"1 % of change added {growth:.2%} of the bytes")
        assert (change, growth < 0.03) == (Change(changed=100), True)
        store.verify(version)

    @pytest.mark.parametrize("damage", ["altered", "cut", "gone"])
    def test_a_damaged_file_is_noticed(self, store: DatasetStore, tmp_path: Path, damage: str) -> None:
        version, _ = store.commit("d", noise(200, seed=1), {})
        store.verify(version)
        (file,) = tmp_path.rglob("*.lance/data/*.lance")
        data = bytearray(file.read_bytes())
        if damage == "gone":
            file.unlink()
        else:
            data[1000] ^= 1
            file.write_bytes(data if damage == "altered" else data[: len(data) // 2])
        with pytest.raises(IntegrityError, match=r"dataset d version 1 .*altered"):
            store.verify(version)


def test_a_uri_of_another_kind_is_refused() -> None:
    with pytest.raises(UserError, match=r"scheme 'hdfs', not file or s3.*AIRLOCK_DATASETS"):
        open_datasets("hdfs://x")


class TestOnS3(DatasetContract):
    @pytest.fixture
    def store(self, s3_uri: str) -> DatasetStore:
        return open_datasets(s3_uri)
