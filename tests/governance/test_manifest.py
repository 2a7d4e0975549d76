"""A manifest's digest is its bytes' digest, and a manifest of another kind is not taken for it."""

from pathlib import Path

import pytest

from airlock.errors import IntegrityError
from airlock.governance.manifest import CandidateManifest, DataManifest, ReleaseManifest, chain, load, load_any, put
from airlock.references import Artifact, DatasetVersion, LabelSet
from airlock.stores.artifacts import ArtifactStore, open_artifacts


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return open_artifacts((tmp_path / "artifacts").as_uri())


def data(store: ArtifactStore) -> DataManifest:
    some = store.put(b"something")
    return DataManifest(
        use_case="digits",
        classes=["zero", "ünï"],
        dataset=DatasetVersion(name="digits", version=1, digest="sha256:d", rows=3),
        labels=LabelSet(digest="sha256:l", dataset="sha256:d", rows=3),
        split=some,
        report=some,
        dropped=some,
        counts={"train": 2, "test": 1},
    )


def test_it_reads_back_as_it_was_under_its_digest(store: ArtifactStore) -> None:
    manifest = data(store)
    artifact = put(store, manifest)
    assert put(store, manifest) == artifact
    assert load(store, artifact.digest, DataManifest) == manifest == load_any(store, artifact.digest)


def test_another_kind_is_refused(store: ArtifactStore) -> None:
    artifact = put(store, data(store))
    with pytest.raises(IntegrityError, match="not the manifest it should be"):
        load(store, artifact.digest, CandidateManifest)
    with pytest.raises(IntegrityError, match="not the manifest it should be"):
        load_any(store, store.put(b'{"kind":"data"}').digest)


def test_a_chain_leads_back_to_its_beginning(store: ArtifactStore) -> None:
    first = put(store, data(store))
    some = Artifact(digest=first.digest, size=1)
    release = ReleaseManifest(
        use_case="digits",
        classes=["a"],
        candidate=first.digest,
        package=some,
        model=some,
        comparison=some,
        metrics={"accuracy": 0.5},
    )
    last = put(store, release)
    assert list(chain(store, last.digest)) == [last.digest, first.digest]
