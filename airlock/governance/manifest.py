"""Manifests: one document that ties everything a decision is about. Its sha256 is what gates approve.

A *labelling* manifest names what people are asked about a dataset version. A *data* manifest names a dataset version
and its labels, a *candidate* a model trained on one, a *release* a package made from a candidate. Each of these names
its parent by digest, so that from what serves the whole chain can be walked back. Between a release and the data there
may be revisions: each names the candidate whose place it takes.
"""

from typing import Any, ClassVar, TypeVar

import msgspec

from airlock.digests import canonical, short
from airlock.errors import IntegrityError
from airlock.references import Artifact, DatasetVersion, LabelSet, ModelVersion, TrackingRun
from airlock.stores.artifacts import ArtifactStore

MEDIA_TYPE = "application/vnd.airlock.manifest+json"


class Manifest(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """Root of the manifests.

    :param use_case: name of the use case.
    :param classes: class names, in the order of the model's outputs.
    """

    use_case: str
    classes: list[str]
    airlock_manifest: int = 1

    parent_field: ClassVar[str] = ""

    @property
    def parent(self) -> str:
        """Digest of the manifest this one grew from; empty for the first of a chain."""
        return str(getattr(self, self.parent_field)) if self.parent_field else ""

    @property
    def before(self) -> str:
        """Digest of the next manifest of the chain: of what this one revises, or else of its parent."""
        return self.parent


class DataManifest(Manifest, frozen=True, tag="data"):
    """What the data gate approves.

    :param counts: samples in each split.
    :param process: what made the dataset version.
    :param labelling: what people said about a batch of the samples, and how far they agree, as figures
        (:class:`airlock.labeling.report.LabelReport`); ``label_report`` is the same as a page.
    :param index: which samples with which labels, :class:`airlock.governance.comparison.index.Index`; manifests from
        before there was one have none.
    """

    dataset: DatasetVersion
    labels: LabelSet
    split: Artifact
    report: Artifact
    dropped: Artifact
    counts: dict[str, int]
    process: dict[str, Any] = {}
    index: Artifact | None = None
    labelling: Artifact | None = None
    label_report: Artifact | None = None


class LabellingManifest(Manifest, frozen=True, tag="labelling"):
    """What the labelling gate releases to labelers: exactly these samples, with exactly this question.

    :param batch: the chosen samples, JSON Lines of :class:`airlock.labeling.tasks.Chosen`.
    :param samples: how many.
    :param config: Label Studio's label config, XML; its digest says what is asked.
    :param overlap: different people asked about each sample.
    :param instructions: what labelers read first.
    :param strategy: how the batch was chosen.
    """

    dataset: DatasetVersion
    batch: Artifact
    samples: int
    config: Artifact
    overlap: int
    instructions: str = ""
    strategy: str = ""


class CandidateManifest(Manifest, frozen=True, tag="candidate"):
    """What the model gate approves.

    :param data: digest of the data manifest.
    :param code: ``commit`` and ``dirty`` digest of the code repository.
    :param environment: versions of Python and of the packages that trained it.
    :param difference: what was not committed; ``environment_lock`` every package there was, with its version.
    :param sources: digest of each step's own code; ``parents`` what the training began with.
    :param search: what was tried for the parameters, ``search_report`` the same as a page.
    :param report: the evaluation as a page; it shows test samples. Candidates from before there was one have none.
    :param card: the model card as a page, ``card_text`` the same as Markdown, ``card_facts`` what the use case says.
    :param revises: digest of the candidate manifest whose place this one takes, made from other source and equal within
        tolerance; empty for a candidate of its own. ``revision`` says how equal
        (:class:`airlock.governance.revisions.Revision`), ``revision_report`` is the same as a page.
    """

    parent_field = "data"

    data: str
    dataset: DatasetVersion
    labels: LabelSet
    tensors: Artifact
    model: Artifact
    evaluation: Artifact
    picture: Artifact
    run: TrackingRun
    version: ModelVersion
    transform_code: Artifact
    network_code: Artifact
    parameters: dict[str, Any]
    seed: int
    metrics: dict[str, float]
    code: dict[str, str]
    environment: dict[str, str]
    report: Artifact | None = None
    card: Artifact | None = None
    card_text: Artifact | None = None
    card_facts: dict[str, Any] = {}
    transform_parameters: dict[str, Any] = {}
    search: Artifact | None = None
    search_report: Artifact | None = None
    difference: Artifact | None = None
    environment_lock: Artifact | None = None
    sources: dict[str, str] = {}
    parents: list[str] = []
    revises: str = ""
    revision: Artifact | None = None
    revision_report: Artifact | None = None

    @property
    def before(self) -> str:
        """Digest of the candidate it revises, if it does."""
        return self.revises or self.parent


class ReleaseManifest(Manifest, frozen=True, tag="release"):
    """What the release gate approves and deployments serve.

    :param candidate: digest of the candidate manifest.
    :param metrics: ``accuracy``, ``bytes``, ``p50_ms`` and the like of the packaged model.
    """

    parent_field = "candidate"

    candidate: str
    package: Artifact
    model: Artifact
    comparison: Artifact
    metrics: dict[str, float]


AnyManifest = DataManifest | LabellingManifest | CandidateManifest | ReleaseManifest
Kind = TypeVar("Kind", DataManifest, LabellingManifest, CandidateManifest, ReleaseManifest)


def put(store: ArtifactStore, manifest: AnyManifest) -> Artifact:
    """Store a manifest in its canonical form; the artifact's digest is the manifest's."""
    return store.put(canonical(msgspec.to_builtins(manifest)), MEDIA_TYPE)


def load_any(store: ArtifactStore, digest: str) -> AnyManifest:
    """Read a manifest of any kind, verified against its digest."""
    found: AnyManifest = _decode(store, digest, AnyManifest)
    return found


def load(store: ArtifactStore, digest: str, kind: type[Kind]) -> Kind:
    """Read a manifest of one kind.

    :raises IntegrityError: it is missing, altered or of another kind.
    """
    found: Kind = _decode(store, digest, kind)
    return found


def chain(store: ArtifactStore, digest: str) -> dict[str, AnyManifest]:
    """Return a manifest and its ancestors by digest, the newest first."""
    found: dict[str, AnyManifest] = {}
    while digest:
        found[digest] = load_any(store, digest)
        digest = found[digest].before
    return found


def _decode(store: ArtifactStore, digest: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(store.read(digest), type=kind)
    except msgspec.MsgspecError as error:
        raise IntegrityError(
            f"Artifact {short(digest)} is not the manifest it should be: {error}.", hint="Name a manifest's digest."
        ) from error
