"""A full disk, for real: a small tmpfs as the artifact store or as the folder for temporary files."""

import tempfile
from pathlib import Path

import pytest
from data_files import assert_refused, image_folder

from airlock.settings import Settings
from airlock.steps.contract import RunInfo, Spec
from airlock.steps.runner import run_spec
from airlock.stores.artifacts import open_artifacts
from tests.services.disk import small_disk

__all__ = ["small_disk"]


def ingest(home: Path, artifacts: Path, source: Path):
    # Raw samples go to the sealed store; here both are on the small disk.
    settings = Settings(home=str(home), artifacts=artifacts.as_uri(), sealed=artifacts.as_uri())
    run = RunInfo(dag="test", run="run", task="ingest")
    inputs = {"source": {"kind": "folder", "location": str(source)}}
    return run_spec(Spec(step="ingest", inputs=inputs, run=run, result="results/1.json"), settings)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Give a folder of random images, which do not pack: about 230 KiB as Parquet."""
    return image_folder(tmp_path / "pets", {"cat": 800, "dog": 800})


def test_full_artifact_store_fails_the_step_and_keeps_what_was_there(small_disk, tmp_path, pets):
    disk = small_disk("store", 160)
    store = open_artifacts(disk.as_uri())
    kept = store.put(b"already here")
    result = ingest(tmp_path, disk, pets)
    assert_refused(result, "ResourceError", "No space left", str(disk), "Free disk space", category="resource")
    assert store.read(kept.digest) == b"already here"
    assert list(store.objects.keys("objects")) == [f"objects/{kept.digest[7:9]}/{kept.digest[9:]}"]
    assert not [path for path in disk.rglob(".*") if path.is_file()], "no half-written file is left"


def test_full_folder_for_temporary_files_fails_the_step(small_disk, tmp_path, pets, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk("scratch", 160)))
    result = ingest(tmp_path, tmp_path / "artifacts", pets)
    assert_refused(result, "ResourceError", "No space left", "samples.parquet", category="resource")
    assert not (tmp_path / "artifacts" / "objects").exists(), "nothing half-written is stored"
