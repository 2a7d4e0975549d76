"""Asks models about samples, each combination once; and the champion about the candidate's test samples."""

from typing import TYPE_CHECKING, Any, NamedTuple

from airlock.errors import UserError
from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from airlock.governance.manifest import CandidateManifest
    from airlock.model.tensors import Split

BATCH = 256


class Candidate(NamedTuple):
    """The model that is measured.

    :param samples: what its samples are kept by.
    """

    tensors: Artifact
    classes: list[str]
    split: "Split"
    samples: str


class Asked(NamedTuple):
    """What the champion answered to the candidate's test samples.

    :param manifest: digest of its candidate manifest; ``model`` of its model.
    :param probabilities: ``[N, classes]`` in the order of the candidate's classes, 0 for a class it does not know.
    """

    manifest: str
    model: str
    probabilities: "NDArray[np.float32]"


def load(context: StepContext, model: Artifact, classes: list[str], backend: str = "") -> Any:
    """Return a Keras model.

    :raises UserError: it answers with another number of classes.
    """
    from airlock.model.backend import load_keras
    from airlock.model.storage import load_model

    load_keras(backend)
    found = load_model(context.fetch(model, f"{model.digest[-12:]}.keras"))
    if found.output_shape[-1] != len(classes):
        raise UserError(
            f"The model answers with {found.output_shape[-1]} classes, but {len(classes)} are named.",
            hint="Pass the classes that the model was trained with.",
        )
    return found


def answer(model: Any, x: Any, context: StepContext) -> "NDArray[np.float32]":
    """Return a model's probabilities ``[N, classes]``."""
    import numpy as np

    answers = []
    for begin in range(0, len(x), BATCH):
        answers.append(np.asarray(model.predict_on_batch(np.asarray(x[begin : begin + BATCH])), np.float32))
        context.progress(min(begin + BATCH, len(x)), len(x), "sample")
    return np.concatenate(answers)


def samples_of(tensors: Artifact, split: str, through: Artifact | None = None) -> str:
    """Return the digest that a split of tensors, put through other tensors' code, is kept by."""
    from airlock.digests import digest_document

    return digest_document([tensors.digest, split, through.digest if through else ""])


def ask_champion(context: StepContext, manifest: str, candidate: Candidate) -> Asked:
    """Ask the champion's model about the candidate's test samples, put through the champion's own transform.

    :param manifest: digest of the champion's candidate manifest.
    :raises UserError: something of the champion is not there any more, or it cannot read these samples.
    """
    from airlock.governance.manifest import CandidateManifest
    from airlock.governance.manifest import load as load_manifest
    from airlock.model.evaluation.kept import Kept

    champion = load_manifest(context.artifacts, manifest, CandidateManifest)
    split, samples = _seen_by(context, champion, candidate)
    probabilities = Kept(context.sealed).answers(
        champion.model.digest,
        samples,
        lambda: answer(load(context, champion.model, champion.classes), split.x, context),
    )
    known = translated(probabilities, champion.classes, candidate.classes)
    return Asked(manifest, champion.model.digest, known)


def _seen_by(context: StepContext, champion: "CandidateManifest", candidate: Candidate) -> "tuple[Split, str]":
    from msgspec.structs import replace

    from airlock.model.tensors import stored_origin
    from airlock.steps.held_out import TEST, split_through

    if champion.tensors == candidate.tensors:
        return candidate.split, candidate.samples
    own, other = (stored_origin(context.artifacts, each) for each in (candidate.tensors, champion.tensors))
    if replace(own, manifest=other.manifest) == other:  # the same code makes the same of the same samples
        return candidate.split, candidate.samples
    samples = samples_of(candidate.tensors, TEST, champion.tensors)
    return split_through(context, candidate.tensors, champion.tensors), samples


def translated(found: "NDArray[np.float32]", classes: list[str], wanted: list[str]) -> "NDArray[np.float32]":
    """Put answers into another order of classes; what is not wanted is left out, what is not known gets 0.

    :param found: ``[N, classes]``.
    """
    import numpy as np

    places = {name: place for place, name in enumerate(classes)}
    nothing = np.zeros(len(found), np.float32)
    return np.stack([found[:, places[name]] if name in places else nothing for name in wanted], axis=1)
