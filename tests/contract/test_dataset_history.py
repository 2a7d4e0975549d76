"""What can be done with versions: append, tag, branch, merge, compare, check out, forget, collect."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from airlock.errors import IntegrityError, UserError
from airlock.stores.datasets import Change, DatasetStore, open_datasets
from tests.contract.test_datasets import digests, noise, samples

IDS = samples(range(100))["sample_id"].to_pylist()


def edited(table: pa.Table, number: int, width: int) -> pa.Table:
    """Return the table with another width of one sample."""
    widths = table["width"].to_pylist()
    widths[number] = width
    return table.set_column(table.schema.get_field_index("width"), "width", pa.array(widths, pa.int32()))


def everything(store: DatasetStore, tmp_path: Path) -> bytes:
    """Return every byte the store keeps, one object after the other."""
    objects, found = store.tables.objects, b""
    for number, key in enumerate(objects.keys("d.lance")):
        objects.fetch(key, tmp_path / f"object-{number}")
        found += (tmp_path / f"object-{number}").read_bytes()
    return found


class HistoryContract:
    """Inherit, and give a fixture ``store``."""

    def test_a_stream_is_the_same_version_as_its_table(self, store: DatasetStore) -> None:
        table = samples(range(3000))
        first, _ = store.commit("d", pa.RecordBatchReader.from_batches(table.schema, table.to_batches(100)), {})
        second, change = store.commit("d", table, {})
        assert (second, change) == (first, Change())
        store.verify(first)

    def test_a_stream_that_breaks_leaves_no_version(self, store: DatasetStore) -> None:
        def broken() -> Iterator[pa.RecordBatch]:
            yield from samples(range(10)).to_batches()
            raise UserError("The source went away.")

        stream = pa.RecordBatchReader.from_batches(samples([]).schema, broken())
        with pytest.raises(UserError, match="The source went away"):
            store.commit("d", stream, {})
        assert store.versions("d") == []

    def test_a_repeated_sample_of_a_stream_is_named(self, store: DatasetStore) -> None:
        twice = [*samples(range(50)).to_batches(), *samples([7]).to_batches()]
        with pytest.raises(UserError, match=r"00000007-x* more than once"):
            store.commit("d", pa.RecordBatchReader.from_batches(twice[0].schema, twice), {})

    def test_batches_add_up_to_what_one_commit_would_be(self, store: DatasetStore) -> None:
        for start in (0, 10, 20):
            version, change = store.append("d", samples(range(start, start + 10)), {"from": start})
            assert change == Change(added=10)
        assert store.commit("other", samples(range(30)), {})[0].digest == version.digest
        store.verify(version)
        assert [entry.process for entry in store.log("d")] == [{"from": 20}, {"from": 10}, {"from": 0}]

    def test_a_batch_that_comes_again_is_there_once(self, store: DatasetStore) -> None:
        store.append("d", samples(range(10)), {})
        version, _ = store.append("d", samples(range(10, 20)), {})
        assert store.append("d", samples(range(10)), {}) == (version, Change())
        grown, change = store.append("d", samples(range(15, 25)), {})
        assert (grown.rows, change) == (25, Change(added=5))
        store.verify(grown)

    def test_a_known_sample_with_other_values_is_refused_or_replaced(self, store: DatasetStore) -> None:
        store.append("d", samples(range(10)), {})
        with pytest.raises(UserError, match=r"1 samples of the batch .* other values.*00000003"):
            store.append("d", samples([3], edition=1), {})
        version, change = store.append("d", samples([3], edition=1), {}, replace=True)
        assert (version.rows, change) == (10, Change(changed=1))
        store.verify(version)

    def test_a_batch_with_other_columns_is_refused(self, store: DatasetStore) -> None:
        store.append("d", samples(range(10)), {})
        with pytest.raises(UserError, match="has the columns"):
            store.append("d", noise(3, seed=1), {})

    def test_the_log_says_who_what_and_when(self, store: DatasetStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRLOCK_USER", "ada")
        first, _ = store.commit("d", samples(range(10)), {"code": "sha256:1"})
        store.commit("d", samples(range(5, 20)), {"code": "sha256:2"})
        newest, oldest = store.log("d")
        assert (oldest.version, oldest.process, newest.process) == (first, {"code": "sha256:1"}, {"code": "sha256:2"})
        assert (newest.made.who, newest.made.kind, newest.made.change) == ("ada", "commit", Change(added=10, removed=5))
        assert "pylance" in newest.made.environment
        assert oldest.created <= newest.created

    def test_tags_name_versions(self, store: DatasetStore) -> None:
        first, _ = store.commit("d", samples(range(10)), {})
        second, _ = store.commit("d", samples(range(20)), {})
        store.tag(first, "approved")
        store.tag(first, "approved")
        assert [store.resolve(text) for text in ("d:approved", "d:1", "d", "d:2")] == [first, first, second, second]
        assert [entry.tags for entry in store.log("d")] == [[], ["approved"]]
        with pytest.raises(UserError, match="tag approved names version 1"):
            store.tag(second, "approved")
        for text, message in {"d:9": "no version 9", "d:nope": "no version nope", "e": "no dataset e"}.items():
            with pytest.raises(UserError, match=message):
                store.resolve(text)

    def test_a_branch_leaves_the_main_line_alone(self, store: DatasetStore) -> None:
        first, _ = store.commit("d", samples(range(10)), {})
        begun = store.branch(first, "exp")
        assert (begun.name, begun.digest) == ("d@exp", first.digest)
        grown, change = store.commit("d@exp", samples(range(2, 15)), {})
        assert (change, store.latest("d"), store.latest("d@exp")) == (Change(added=5, removed=2), first, grown)
        assert digests(store.read(grown)) == digests(samples(range(2, 15)))
        store.verify(grown)
        assert store.branches("d") == ["d@exp"]
        with pytest.raises(UserError, match="is a branch d@exp already"):
            store.branch(first, "exp")

    def test_a_merge_brings_what_both_lines_changed(self, store: DatasetStore) -> None:
        base = samples(range(20))
        first, _ = store.commit("d", base, {})
        store.branch(first, "exp")
        theirs = pa.concat_tables([edited(base, 3, 333).slice(0, 18), samples([50])])
        store.commit("d@exp", theirs, {})
        store.commit("d", pa.concat_tables([edited(base, 5, 555), samples([60])]), {})
        done = store.merge("d@exp", "d", {"why": "review"})
        assert (done.conflicts, done.change) == ([], Change(added=1, changed=1, removed=2))
        assert done.version is not None
        store.verify(done.version)
        rows = {row["sample_id"]: row["width"] for row in store.read(done.version).to_pylist()}
        assert (len(rows), rows[IDS[3]], rows[IDS[5]]) == (20, 333, 555)
        assert store.log("d")[0].process == {"why": "review", "merged": "d@exp", "at": 2}
        again = store.merge("d@exp", "d", {})
        assert (again.version, again.change) == (done.version, Change())

    def test_a_merge_reports_conflicts_and_changes_nothing(self, store: DatasetStore) -> None:
        base = samples(range(10))
        first, _ = store.commit("d", base, {})
        store.branch(first, "exp")
        store.commit("d@exp", edited(edited(base, 3, 1), 4, 1), {})
        ours, _ = store.commit("d", edited(base.slice(0, 4), 3, 2), {})
        done = store.merge("d@exp", "d", {})
        found = [(each.sample_id, each.source, each.target) for each in done.conflicts]
        assert found == [(IDS[3], "changed", "changed"), (IDS[4], "changed", "removed")]
        assert (done.version, store.latest("d")) == (None, ours)

    def test_a_diff_names_samples_and_columns(self, store: DatasetStore) -> None:
        base = samples(range(10))
        first, _ = store.commit("d", base, {})
        second, _ = store.commit("d", pa.concat_tables([edited(base, 3, 333).slice(1), samples([50])]), {})
        found = store.diff(first, second)
        assert (found.added, found.removed, found.changed) == ([IDS[50]], [IDS[0]], {IDS[3]: ["width"]})
        wider = base.append_column("height", pa.array(range(10), pa.int32()))
        third, _ = store.commit("d", edited(wider, 3, 333), {})
        found = store.diff(first, third)
        assert (found.columns_added, found.added, found.changed) == (["height"], [], {IDS[3]: ["width"]})

    def test_a_checkout_names_files_by_their_source(self, store: DatasetStore, tmp_path: Path) -> None:
        table = pa.table(
            {
                "sample_id": ["a" * 64, "b" * 64, "c" * 64],
                "content": [b"one", b"two", b"three"],
                "stream_depth": [b"d1", None, None],
                "source": ["cats/1.png", "dogs/1.png", "cats/1.png"],
                "width": [1, 2, 3],
            }
        )
        version, _ = store.commit("d", table, {})
        assert store.checkout(version, tmp_path / "out") == 3
        files = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.png")}
        assert files["cats/1.png"].read_bytes() == b"one"
        assert files["cats/1.cccccccccccc.png"].read_bytes() == b"three"
        assert files["cats/1.depth.png"].read_bytes() == b"d1"
        lines = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()]
        assert lines[0]["files"] == {"content": "cats/1.png", "depth": "cats/1.depth.png"}
        assert [line["width"] for line in lines] == [1, 2, 3]
        with pytest.raises(UserError, match="is not empty"):
            store.checkout(version, tmp_path / "out")

    def test_a_source_that_climbs_out_is_not_checked_out(self, store: DatasetStore, tmp_path: Path) -> None:
        table = pa.table({"sample_id": ["a"], "content": [b"x"], "source": ["../evil"]})
        version, _ = store.commit("d", table, {})
        with pytest.raises(UserError, match="leaves its folder"):
            store.checkout(version, tmp_path / "out")
        assert not (tmp_path / "evil").exists()

    def test_a_forgotten_sample_is_gone_from_every_file(self, store: DatasetStore, tmp_path: Path) -> None:
        table = noise(300, seed=1)
        first, _ = store.commit("d", table, {})
        store.branch(first, "exp")
        second, _ = store.commit("d", table.slice(0, 250), {})
        secret, identity = table["content"][7].as_py(), table["sample_id"][7].as_py()
        assert secret in everything(store, tmp_path)
        (stone,) = store.forget("d", [identity], "request 17", "ada")
        kept = everything(store, tmp_path)
        assert secret not in kept
        assert table["content"][8].as_py() in kept
        assert (stone.reason, stone.who) == ("request 17", "ada")
        assert stone.versions == ["d:1", "d:2", "d@exp:1"]
        assert identity not in stone.sample
        for version in (first, second):
            for use in (store.read, store.verify, store.digests):
                with pytest.raises(IntegrityError, match=r"1 of its \d+ samples were deleted for privacy.*request 17"):
                    use(version)
        for line, rows in {"d": 249, "d@exp": 299}.items():
            version = store.latest(line)
            store.verify(version)
            assert (version.rows, store.log(line)[0].made.kind) == (rows, "forget")
            assert identity not in store.read(version)["sample_id"].to_pylist()
        assert store.take(first, [table["sample_id"][8].as_py()]).num_rows == 1

    @pytest.mark.parametrize("rows", [1, 2, 20, 300])
    @pytest.mark.parametrize("content", [30, 500])
    def test_small_files_are_whole_when_a_sample_was_forgotten(
        self, store: DatasetStore, rows: int, content: int
    ) -> None:
        random = Random(rows)
        ids = [f"{random.getrandbits(256):064x}" for _ in range(rows)]
        columns: dict[str, list[object]] = {
            "sample_id": list(ids),
            "content": [random.randbytes(content) for _ in ids],
            "group": ["g"] * rows,
            "metadata": [None if number % 3 else f'{{"number": {number}}}' for number in range(rows)],
            "width": [number % 7 for number in range(rows)],
        }
        table = pa.table(columns)
        version, _ = store.commit("d", table, {})
        later, _ = store.commit(
            "d", pa.concat_tables([table, table.slice(0, 1).set_column(0, "sample_id", [["z" * 64]])]), {}
        )
        store.forget("d", [ids[-1]], "request 17")
        latest = store.latest("d")
        store.verify(latest)
        assert store.read(latest)["sample_id"].to_pylist() == [*ids[:-1], "z" * 64]
        for before in (version, later):
            with pytest.raises(IntegrityError, match="were deleted for privacy"):
                store.read(before)

    def test_a_forgotten_sample_does_not_come_back(self, store: DatasetStore) -> None:
        table = noise(20, seed=1)
        store.commit("d", table, {})
        store.forget("d", ["00000003"], "request 17")
        assert store.forget("d", ["00000003"], "again")[0].reason == "request 17"
        version, change = store.commit("d", table, {})
        assert (version.rows, change) == (19, Change(forgotten=1))
        version, change = store.append("d", table, {})
        assert (version.rows, change) == (19, Change(forgotten=1))

    def test_what_cannot_be_forgotten(self, store: DatasetStore) -> None:
        store.commit("d", noise(20, seed=1), {})
        for ids, reason, message in (
            (["nobody"], "why", "has the sample nobody"),
            (["00000003"], " ", "needs a reason"),
        ):
            with pytest.raises(UserError, match=message):
                store.forget("d", ids, reason)

    def test_garbage_is_what_nobody_refers_to(self, store: DatasetStore) -> None:
        tables = [noise(50, seed=seed) for seed in range(5)]
        versions = [store.commit("d", table, {})[0] for table in tables]
        store.tag(versions[1], "approved")
        store.branch(versions[2], "exp")
        keep = {versions[0].digest}
        assert store.collect_garbage("d", keep, older_than=3600).removed == []
        assert store.collect_garbage("d", keep, older_than=0, dry=True).removed == [versions[3]]
        store.verify(versions[3])
        done = store.collect_garbage("d", keep, older_than=0)
        assert (done.removed, done.bytes > 20_000) == ([versions[3]], True)
        for version in (*versions[:3], versions[4], store.latest("d@exp")):
            store.verify(version)
        with pytest.raises(IntegrityError, match="is not in the store"):
            store.read(versions[3])
        assert [entry.process for entry in store.log("d")] == [{}, {}, {}, {}]

    def test_names_are_listed(self, store: DatasetStore) -> None:
        assert store.names() == []
        for name in ("b", "a.b"):
            store.commit(name, samples(range(3)), {})
        assert store.names() == ["a.b", "b"]


class TestOnAFileSystem(HistoryContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> DatasetStore:
        return open_datasets((tmp_path / "data sets").as_uri())

    def test_an_altered_row_is_noticed_by_whoever_takes_it(self, store: DatasetStore, tmp_path: Path) -> None:
        table = noise(200, seed=1)
        version, _ = store.commit("d", table, {})
        (file,) = tmp_path.rglob("*.lance/data/*.lance")
        data = file.read_bytes()
        at = data.index(table["content"][7].as_py())
        file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(IntegrityError, match="a row is not what its digest says"):
            store.take(version, [table["sample_id"][7].as_py()])
        assert store.take(version, [table["sample_id"][8].as_py()]).num_rows == 1


class TestOnS3(HistoryContract):
    @pytest.fixture
    def store(self, s3_uri: str) -> DatasetStore:
        return open_datasets(s3_uri)
