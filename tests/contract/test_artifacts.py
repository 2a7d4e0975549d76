"""What every home of artifacts must do: whole or not at all, verified on the way out, created once."""

import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airlock.digests import digest_bytes
from airlock.errors import InfrastructureError, IntegrityError, ResourceError, UserError
from airlock.references import Artifact
from airlock.stores.artifacts import ArtifactStore, open_artifacts

DATA = os.urandom(5000)


def key_of(artifact: Artifact) -> str:
    return f"objects/{artifact.digest[7:9]}/{artifact.digest[9:]}"


class ArtifactContract:
    """Inherit, and give a fixture ``store``."""

    def test_bytes_come_back_as_they_were(self, store: ArtifactStore, tmp_path: Path) -> None:
        artifact = store.put(DATA, "image/png")
        assert artifact == Artifact(digest=digest_bytes(DATA), size=len(DATA), media_type="image/png")
        assert store.read(artifact.digest) == DATA
        assert store.fetch(artifact, tmp_path / "out").read_bytes() == DATA
        store.verify(artifact)

    def test_empty_bytes_are_an_artifact(self, store: ArtifactStore) -> None:
        assert store.read(store.put(b"").digest) == b""

    def test_a_tree_comes_back_as_it_was(self, store: ArtifactStore, tmp_path: Path) -> None:
        names = {"a.txt": b"a", "deep/er/b c.bin": DATA, "deep/ü": b""}
        for name, data in names.items():
            (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / name).write_bytes(data)
        tree = store.put_tree(tmp_path / "in")
        assert (tree.kind, tree.size, store.put_tree(tmp_path / "in")) == ("tree", len(DATA) + 1, tree)
        out = store.fetch(tree, tmp_path / "out")
        assert {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()} == names
        store.verify(tree)

    def test_an_empty_folder_is_no_artifact(self, store: ArtifactStore, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="holds no file to store"):
            store.put_tree(tmp_path)

    def test_a_listing_that_climbs_out_of_its_folder_is_refused(self, store: ArtifactStore, tmp_path: Path) -> None:
        evil = store.put(b'{"../evil":{"digest":"%s","size":1}}' % store.put(b"x").digest.encode())
        with pytest.raises(UserError, match="leaves its folder"):
            store.fetch(Artifact(digest=evil.digest, size=1, kind="tree"), tmp_path / "out")
        assert not (tmp_path / "evil").exists()

    def test_what_is_missing_is_named(self, store: ArtifactStore) -> None:
        missing = Artifact(digest=digest_bytes(b"never stored"), size=1)
        for use in (store.verify, lambda artifact: store.read(artifact.digest)):
            with pytest.raises(IntegrityError, match=f"{missing.digest[7:19]} is not in the store"):
                use(missing)

    def test_a_name_that_is_no_digest_is_refused(self, store: ArtifactStore) -> None:
        for name in ("sha256:../../etc/passwd", "sha256:" + "A" * 64, ""):
            with pytest.raises(UserError, match="is not a digest"):
                store.read(name)

    @pytest.mark.parametrize(
        "damage", [DATA[:-1] + bytes([DATA[-1] ^ 1]), DATA[:100], b""], ids=["altered", "cut short", "empty"]
    )
    def test_a_damaged_object_is_noticed_and_put_again_repairs_it(self, store: ArtifactStore, damage: bytes) -> None:
        artifact = store.put(DATA)
        store.objects.replace(key_of(artifact), damage)
        for use in (store.verify, lambda artifact: store.read(artifact.digest)):
            with pytest.raises(IntegrityError, match=r"was altered.*cache=False"):
                use(artifact)
        assert store.put(DATA) == artifact
        assert store.read(artifact.digest) == DATA

    def test_a_missing_file_of_a_tree_is_noticed(self, store: ArtifactStore, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "file").write_bytes(DATA)
        tree = store.put_tree(tmp_path / "in")
        store.objects.replace(key_of(store.put(DATA)), b"other")
        with pytest.raises(IntegrityError, match="was altered"):
            store.verify(tree)

    def test_a_document_is_written_once(self, store: ArtifactStore) -> None:
        assert store.create_document("results/1.json", b"first")
        assert not store.create_document("results/1.json", b"second")
        assert store.document("results/1.json") == b"first"
        assert store.document("results/2.json") is None

    def test_of_many_who_create_a_document_at_once_one_wins(self, store: ArtifactStore) -> None:
        start = threading.Barrier(8)

        def create(number: int) -> int | None:
            start.wait()
            return number if store.create_document("results/raced", str(number).encode() * 1000) else None

        with ThreadPoolExecutor(8) as pool:
            rounds = [number for _ in range(3) for number in pool.map(create, range(8))]
        (winner,) = (number for number in rounds if number is not None)
        assert store.document("results/raced") == str(winner).encode() * 1000

    def test_a_hint_is_replaced_and_names_are_listed_sorted(self, store: ArtifactStore) -> None:
        for name in ("cache/k/0001.json", "cache/k/0000.json", "cache/other/0000.json"):
            store.replace_document(name, b"old")
        store.replace_document("cache/k/0001.json", b"new")
        assert list(store.documents("cache/k")) == ["cache/k/0000.json", "cache/k/0001.json"]
        assert list(store.documents("cache/none")) == []
        assert store.document("cache/k/0001.json") == b"new"


class TestOnAFileSystem(ArtifactContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        return open_artifacts((tmp_path / "arti facts").as_uri())

    def test_what_is_being_written_is_not_listed(self, store: ArtifactStore, tmp_path: Path) -> None:
        store.create_document("cache/k/0000.json", b"x")
        (tmp_path / "arti facts" / "documents" / "cache" / "k" / ".half").write_bytes(b"x")
        assert list(store.documents("cache/k")) == ["cache/k/0000.json"]

    def test_a_store_that_cannot_be_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(InfrastructureError, match="Cannot write"):
            open_artifacts((tmp_path / "file").as_uri()).put(b"x")


class TestOnS3(ArtifactContract):
    @pytest.fixture
    def store(self, s3_uri: str) -> ArtifactStore:
        return open_artifacts(s3_uri)

    def test_a_server_that_is_not_there_is_named(
        self, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, free_port: int
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        gone = open_artifacts("s3://airlock/x")
        for use in (lambda: gone.put(b"x"), lambda: gone.document("d"), lambda: list(gone.documents("d"))):
            with pytest.raises(InfrastructureError, match=r"s3://airlock/x.*Check the endpoint"):
                use()


class TestOnAMock(ArtifactContract):
    """Where radosgw cannot run this is what there is; unlike radosgw it answers with the checksums that were sent."""

    @pytest.fixture
    def store(self, moto_uri: str) -> ArtifactStore:
        return open_artifacts(moto_uri)


class TestWhenTheDiskIsFull:
    @pytest.fixture
    def small(self, tmp_path: Path) -> Iterator[Path]:
        """Give a disk of 256 KiB."""
        if os.geteuid() != 0:
            pytest.skip("mounting a small disk takes root")
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "airlock-test", str(disk)]
        if (done := subprocess.run(mount, capture_output=True, text=True, check=False)).returncode:
            pytest.skip(f"this system mounts no tmpfs: {done.stderr.strip()}")
        yield disk
        subprocess.run(["umount", str(disk)], check=True)

    def test_nothing_is_half_written_and_the_folder_is_named(self, small: Path) -> None:
        store = open_artifacts((small / "store").as_uri())
        kept = store.put(DATA)
        for write in (
            lambda: store.put(os.urandom(1 << 20)),
            lambda: store.create_document("results/1", os.urandom(1 << 20)),
            lambda: store.replace_document("hints/1", os.urandom(1 << 20)),
        ):
            with pytest.raises(ResourceError, match=rf"No space left to write {small}.*Free disk space"):
                write()
        files = [path for path in (small / "store").rglob("*") if path.is_file()]
        assert [path.stat().st_size for path in files] == [len(DATA)]
        assert store.read(kept.digest) == DATA

    def test_a_dataset_says_so_too(self, small: Path) -> None:
        pa: Any = pytest.importorskip("pyarrow")
        from airlock.stores.datasets import open_datasets

        store = open_datasets((small / "datasets").as_uri())
        table = pa.table({"sample_id": ["a", "b"], "content": [os.urandom(1 << 19), os.urandom(1 << 19)]})
        with pytest.raises(ResourceError, match="No space left to write dataset d"):
            store.commit("d", table, {})
        assert store.versions("d") == []


def test_a_uri_of_another_kind_is_refused() -> None:
    with pytest.raises(UserError, match=r"scheme 'ftp', not file or s3.*AIRLOCK_ARTIFACTS"):
        open_artifacts("ftp://x")
