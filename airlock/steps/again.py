"""What transform and train are given to make a candidate again: by the same sources, or by revised ones."""

from airlock.governance.manifest import CandidateManifest
from airlock.references import Artifact
from airlock.steps import train, transform
from airlock.stores.artifacts import ArtifactStore


def transform_inputs(store: ArtifactStore, manifest: CandidateManifest, code: Artifact) -> transform.Inputs:
    """Return what the transform step takes: the data manifest is the one that the candidate's tensors name.

    One of the same data may have been the first to be transformed.
    """
    from airlock.model.tensors import stored_origin

    return transform.Inputs(
        manifest=stored_origin(store, manifest.tensors).manifest,
        code=code,
        parameters=manifest.transform_parameters,
    )


def train_inputs(
    store: ArtifactStore, manifest: CandidateManifest, tensors: Artifact, code: Artifact, experiment: str
) -> train.Inputs:
    """Return what the train step takes: the candidate's parameters, seed and first weights."""
    return train.Inputs(
        tensors=tensors,
        code=code,
        classes=manifest.classes,
        parameters=manifest.parameters,
        seed=manifest.seed,
        experiment=experiment,
        warm_start=manifest.parents[0].rpartition(" ")[0] if manifest.parents else "",
        parent=_parent(store, manifest),
    )


def changed_since(manifest: CandidateManifest) -> list[str]:
    """Return which packages and steps are not as they were when the candidate was made."""
    from airlock.steps.cache import environment
    from airlock.steps.source import source_digest

    now = environment("train")
    found = [
        f"{name} {manifest.environment.get(name, 'none')} is {now.get(name, 'none')} now"
        for name in sorted(manifest.environment.keys() | now.keys())
        if manifest.environment.get(name) != now.get(name)
    ]
    return found + [
        f"the code of the {step} step"
        for step in ("transform", "train")
        if manifest.sources.get(step, "") not in ("", source_digest(step))
    ]


def _parent(store: ArtifactStore, manifest: CandidateManifest) -> Artifact | None:
    if not manifest.parents:
        return None
    digest = manifest.parents[0].rpartition(" ")[2]
    return Artifact(digest=digest, size=len(store.read(digest)), media_type=train.KERAS)
