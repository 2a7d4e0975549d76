"""``airlock data``, on real stores."""

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from airlock.errors import DataRejected, UserError
from airlock.governance.manifest import DataManifest, put
from airlock.references import DatasetVersion, LabelSet
from airlock.settings import settings
from airlock.stores.datasets import DatasetStore, open_datasets
from tests.governed import Governed


def table(numbers: range, width: int = 1) -> pa.Table:
    ids = [f"{number:064d}" for number in numbers]
    return pa.table({"sample_id": ids, "content": [each.encode() for each in ids], "width": [width] * len(ids)})


@pytest.fixture
def store(governed: Governed) -> DatasetStore:
    """Give the datasets of these settings: ``news`` has two versions and a branch."""
    store = open_datasets(settings().datasets)
    first, _ = store.commit("news", table(range(10)), {"code": "sha256:1", "[bold]odd[/]": 1})
    store.branch(first, "exp")
    store.commit("news", table(range(12)), {"code": "sha256:2"})
    return store


class TestHistory:
    def test_datasets_and_branches_are_listed(self, store: DatasetStore, airlock: Any) -> None:
        lines = airlock("data", "list").output.splitlines()
        assert [line.split()[:2] for line in lines[1:]] == [["news", "2"], ["news@exp", "1"]]

    def test_the_log_has_a_line_for_each_version(
        self, store: DatasetStore, airlock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRLOCK_USER", "[bold]ada[/]")
        store.append("news", table(range(20, 25)), {})
        airlock("data", "tag", "news:1", "approved")
        lines = airlock("data", "log", "news").output.splitlines()[1:]
        assert [line.split()[0] for line in lines] == ["3", "2", "1"]
        assert "[bold]ada[/]" in lines[0]
        assert "append" in lines[0]
        assert lines[0].rstrip().endswith("5 added")
        assert lines[2].rstrip().endswith("approved")

    def test_a_version_is_shown_with_its_process(self, store: DatasetStore, airlock: Any) -> None:
        shown = airlock("data", "show", "news:1").output
        assert '"[bold]odd[/]": 1' in shown
        assert "columns   sample_id, content, width" in shown
        assert "pylance" in shown

    def test_what_is_not_there_is_named(self, store: DatasetStore, airlock: Any) -> None:
        for version, message in {
            "olds": "no dataset olds",
            "news:7": "no version 7",
            "news@x": "no dataset news@x",
        }.items():
            error = airlock("data", "show", version).exception
            assert isinstance(error, UserError)
            assert message in str(error)


class TestChanges:
    def test_a_diff_names_samples_and_columns(self, store: DatasetStore, airlock: Any) -> None:
        store.commit("news", pa.concat_tables([table(range(1)), table(range(1, 12), width=2)]), {})
        lines = airlock("data", "diff", "news:1", "news", "--names", "3").output.splitlines()
        assert lines[0] == "2 added, 0 removed, 9 changed"
        assert lines[1:3] == [f"+ {number:064d}" for number in (10, 11)]
        assert lines[3:] == [f"~ {1:064d}: width", "… 8 more; --names 11 names all"]

    def test_a_branch_is_merged(self, store: DatasetStore, airlock: Any) -> None:
        store.commit("news@exp", table(range(5, 10)), {})
        assert "news:3 (" in airlock("data", "merge", "news@exp", "news", "--reason", "review").output
        assert store.latest("news").rows == 7
        assert store.log("news")[0].process["reason"] == "review"

    def test_a_conflict_is_an_error_that_names_the_sample(self, store: DatasetStore, airlock: Any) -> None:
        store.commit("news@exp", table(range(10), width=5), {})
        store.commit("news", table(range(12), width=6), {})
        done = airlock("data", "merge", "news@exp", "news")
        assert isinstance(done.exception, DataRejected)
        assert f"! {0:064d}: changed in news@exp, changed in news" in done.output

    def test_a_branch_begins_at_a_version(self, store: DatasetStore, airlock: Any) -> None:
        assert "news@more:" in airlock("data", "branch", "news:1", "more").output
        assert store.latest("news@more").rows == 10

    def test_a_checkout_writes_files(self, store: DatasetStore, airlock: Any, tmp_path: Path) -> None:
        airlock("data", "checkout", "news:1", tmp_path / "out")
        assert (tmp_path / "out" / f"{3:064d}").read_bytes() == f"{3:064d}".encode()
        assert len((tmp_path / "out" / "metadata.jsonl").read_text().splitlines()) == 10


class TestAdd:
    def test_a_folder_becomes_a_version_and_then_what_changed_in_it(
        self, store: DatasetStore, airlock: Any, tmp_path: Path
    ) -> None:
        folder = tmp_path / "folder"
        for number in range(20):
            path = folder / f"class{number % 2}" / f"{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"text {number}")
            _age(path)
        assert "20 added" in airlock("data", "add", "texts", folder).output
        assert "nothing changed" in airlock("data", "add", "texts", folder).output
        (folder / "class0" / "0.txt").write_text("another text")
        (folder / "class1" / "1.txt").unlink()
        (folder / "class1" / "new.txt").write_text("new")
        assert "2 added, 2 removed" in airlock("data", "add", "texts", folder).output
        version = store.latest("texts")
        store.verify(version)
        other, _ = open_datasets((tmp_path / "other").as_uri()).commit("texts", store.read(version), {})
        assert (other.digest, version.rows, version.version) == (version.digest, 20, 2)
        sources = store.read(version, ["source"])["source"].to_pylist()
        assert {"class0/0.txt", "class1/new.txt"} < set(sources)

    def test_an_unchanged_file_is_not_read_again(self, store: DatasetStore, airlock: Any, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        for name in ("a.txt", "b.txt"):
            (folder / name).write_text(name)
            _age(folder / name)
        airlock("data", "add", "texts", folder)
        (folder / "b.txt").write_text("B.txt")  # same size, and the date put back: as for DVC and Git, not seen
        _age(folder / "b.txt")
        assert "nothing changed" in airlock("data", "add", "texts", folder).output

    def test_a_file_written_just_now_is_read_again(self, store: DatasetStore, airlock: Any, tmp_path: Path) -> None:
        import os

        folder = tmp_path / "folder"
        folder.mkdir()
        for name in ("a.txt", "b.txt"):
            (folder / name).write_text(name)
        airlock("data", "add", "texts", folder)
        before = (folder / "b.txt").stat()
        (folder / "b.txt").write_text("B.txt")
        os.utime(folder / "b.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
        assert "1 added, 1 removed" in airlock("data", "add", "texts", folder).output

    def test_files_with_one_content_are_one_sample(self, store: DatasetStore, airlock: Any, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        for name in ("a.txt", "b.txt", "c.txt"):
            (folder / name).write_text("same" if name < "c" else "other")
            _age(folder / name)
        assert "2 added" in airlock("data", "add", "texts", folder).output
        (folder / "a.txt").unlink()
        airlock("data", "add", "texts", folder)
        rows = store.read(store.latest("texts"), ["source"])["source"].to_pylist()
        assert sorted(rows) == ["b.txt", "c.txt"]


class TestForget:
    def test_it_asks_and_deletes(self, store: DatasetStore, airlock: Any) -> None:
        sample = f"{3:064d}"
        arguments = ("data", "forget", "news", sample, "--reason", "request 17", "--who", "ada")
        assert airlock(*arguments, input="n\n").exit_code == 1
        assert store.latest("news").rows == 12
        done = airlock(*arguments, input="y\n")
        assert "which was in news:1, news:2, news@exp:1" in done.output
        assert store.latest("news").rows == 11
        assert "by ada: request 17" in airlock("data", "show", "news").output


class TestGarbage:
    def test_what_a_manifest_or_a_tag_names_stays(self, store: DatasetStore, airlock: Any, governed: Governed) -> None:
        versions = [store.commit("d", table(range(number, number + 5)), {})[0] for number in range(5)]
        store.tag(versions[1], "approved")
        manifest = _manifest(governed, versions[2])
        result = {"outputs": {"manifest": msgspec.to_builtins(put(governed.artifacts, manifest))}}
        governed.artifacts.create_document("results/a/1.json", msgspec.json.encode(result))
        assert airlock("data", "gc", "d").output == "0 versions, 0 bytes; 4 older versions stay\n"
        lines = airlock("data", "gc", "d", "--older-than", "0s", "--dry-run").output.splitlines()
        assert [line.split()[2] for line in lines[:-1]] == ["d:1", "d:4"]
        airlock("data", "gc", "d", "--older-than", "0s")
        assert store.versions("d") == [versions[1], versions[2], versions[4]]
        for version in store.versions("d"):
            store.verify(version)

    def test_what_is_labelled_or_asked_at_a_gate_stays(
        self, store: DatasetStore, airlock: Any, governed: Governed
    ) -> None:
        versions = [store.commit("d", table(range(number, number + 5)), {})[0] for number in range(4)]
        with governed.database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO airlock.label_set (digest, dataset, rows, created) VALUES ('sha256:x', %s, 1, 0)",
                (versions[0].digest,),
            )
        asked = put(governed.artifacts, _manifest(governed, versions[1]))
        body = {"use_case": "digits", "manifest": asked.digest}
        governed.ledger.append("promotion", body)
        airlock("data", "gc", "d", "--older-than", "0s")
        assert store.versions("d") == [versions[0], versions[1], versions[3]]

    def test_a_duration_that_is_none(self, store: DatasetStore, airlock: Any) -> None:
        assert "is no duration" in str(airlock("data", "gc", "news", "--older-than", "soon").exception)


def _manifest(governed: Governed, version: DatasetVersion) -> DataManifest:
    some = governed.artifacts.put(b"something")
    return DataManifest(
        use_case="digits",
        classes=["a", "b"],
        dataset=version,
        labels=LabelSet(digest="sha256:l", dataset=version.digest, rows=5),
        split=some,
        report=some,
        dropped=some,
        counts={},
    )


def _age(path: Path) -> None:
    """Let a file have been at rest for long."""
    import os

    os.utime(path, (1_700_000_000, 1_700_000_000))
