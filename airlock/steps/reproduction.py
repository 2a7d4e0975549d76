"""Does a candidate again from its manifest alone, and says how equal what comes out is.

Transform and train run anew, whatever any cache holds: tensors and model are compared by their bytes; a model with
other bytes is compared by what it answers to the validation samples.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from airlock.digests import short
from airlock.errors import InfrastructureError
from airlock.governance.manifest import CandidateManifest, DataManifest, load
from airlock.references import Artifact
from airlock.settings import Settings
from airlock.steps import transform
from airlock.steps.again import changed_since, train_inputs, transform_inputs
from airlock.steps.context import StepContext
from airlock.steps.contract import RunInfo, Spec, decode_result
from airlock.steps.process import start_step
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.layers import open_layers

if TYPE_CHECKING:
    from airlock.governance.revisions import ModelDifference

Say = Callable[[str], None]


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """How a reproduction compares with what was registered.

    :param tensors: whether they are the same bytes; likewise ``model``.
    :param largest: largest difference of a probability over the validation samples; 0 for the same bytes, ``None``
        where one is no number.
    :param accuracy: of the new model on them; ``before`` of the registered one.
    :param tolerance: what ``largest`` may be.
    :param changed: what is not as it was when the candidate was made, and may explain a difference.
    """

    manifest: str
    tensors: bool
    model: bool
    largest: float | None
    accuracy: float
    before: float
    tolerance: float
    changed: list[str] = []

    @property
    def verdict(self) -> Literal["bit-equal", "equal within tolerance", "different"]:
        """One of three."""
        if self.tensors and self.model:
            return "bit-equal"
        equal = self.largest is not None and self.largest <= self.tolerance
        return "equal within tolerance" if equal else "different"


def reproduce(settings: Settings, digest: str, tolerance: float, say: Say) -> Reproduction:
    """Run a candidate's transform and training again.

    :param digest: of the candidate manifest.
    :param tolerance: largest difference of a probability that still counts as equal.
    :param say: called with what is going on.
    :raises InfrastructureError: the training did not end.
    """
    store = open_layers(settings)
    manifest = load(store, digest, CandidateManifest)
    run = RunInfo(dag="reproduce", run=f"{short(digest)}-{time.time_ns()}", task="train")
    changed = changed_since(manifest)
    for each in changed:
        say(f"not as it was: {each}")
    say("transform …")
    tensors = _tensors(settings, store, manifest, run)
    say(f"transform: {'the same bytes' if tensors.digest == manifest.tensors.digest else 'other bytes'}; train …")
    model = _model(settings, store, manifest, tensors, run, say)
    compared = _compared(store, manifest, model, tensors)
    return Reproduction(
        manifest=digest,
        tensors=tensors.digest == manifest.tensors.digest,
        model=model.digest == manifest.model.digest,
        largest=compared.largest,
        accuracy=compared.accuracy,
        before=compared.accuracy_before,
        tolerance=tolerance,
        changed=changed,
    )


def _tensors(settings: Settings, store: ArtifactStore, manifest: CandidateManifest, run: RunInfo) -> Artifact:
    inputs = transform_inputs(store, manifest, manifest.transform_code)
    with tempfile.TemporaryDirectory(prefix="airlock-reproduce-") as folder:
        context = StepContext(settings, run, Path(folder))
        return transform.make_tensors(inputs, load(store, manifest.data, DataManifest), context)


def _model(
    settings: Settings, store: ArtifactStore, manifest: CandidateManifest, tensors: Artifact, run: RunInfo, say: Say
) -> Artifact:
    experiment = f"{manifest.use_case}-reproduced"
    inputs = train_inputs(store, manifest, tensors, manifest.network_code, experiment)
    spec = Spec(step="train", inputs=msgspec.to_builtins(inputs), run=run, result=f"results/{run.path}.json")
    document = f"specs/{run.path}.json"
    store.create_document(document, msgspec.json.encode(spec))
    process = start_step(settings.home, ["train", "--spec", document], _environment(settings))
    for line in process.lines():
        say(line)
    status = process.wait()
    if (written := store.document(spec.result)) is None:
        raise InfrastructureError(f"The training ended with status {status} and left no result.", hint="Try again.")
    result = decode_result(written, spec.result)
    result.raise_failure()
    return msgspec.convert(result.outputs["model"], Artifact)


def _environment(settings: Settings) -> dict[str, str]:
    import os

    return dict(os.environ) | settings.environment()


def _compared(
    store: ArtifactStore, manifest: CandidateManifest, model: Artifact, tensors: Artifact
) -> "ModelDifference":
    from airlock.model.revision import Asked, model_difference
    from airlock.model.storage import load_model
    from airlock.model.tensors import load_split

    with tempfile.TemporaryDirectory(prefix="airlock-reproduce-") as name:
        folder = Path(name)
        split = load_split(store.fetch(tensors, folder / "tensors"), "validation")
        again, registered = (
            Asked(load_model(store.fetch(artifact, folder / file)), split.x)
            for artifact, file in ((model, "again.keras"), (manifest.model, "registered.keras"))
        )
        return model_difference(again, registered, split.y)
