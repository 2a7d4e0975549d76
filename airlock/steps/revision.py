"""What a revision must show before it is registered: it belongs to its candidate, and is equal within tolerance."""

from typing import TYPE_CHECKING

import msgspec

from airlock.errors import UserError
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.governance.evaluations import Evaluation
    from airlock.governance.manifest import CandidateManifest
    from airlock.governance.revisions import Revision
    from airlock.references import Artifact
    from airlock.steps.register import Inputs

HINT = "Pass what the revise step made, evaluated against the candidate it revises."


def revised_candidate(inputs: "Inputs", evaluation: "Evaluation", context: StepContext) -> "CandidateManifest | None":
    """Return the candidate that is revised; ``None`` for a candidate of its own.

    :raises UserError: the documents are about something else, or the revision is not equal within tolerance on the
        validation samples, or on the test samples, as the evaluation has both models' answers to them.
    """
    from airlock.governance.manifest import CandidateManifest, load

    if inputs.revises is None and inputs.revision is None:
        return None
    if inputs.revises is None or inputs.revision is None:
        raise UserError("A revision needs both what it revises and how it compares.", hint=HINT)
    candidate = load(context.artifacts, inputs.revises.digest, CandidateManifest)
    revision = _read(inputs.revision, context)
    _require_same(inputs, candidate, revision)
    if revision.verdict == "different":
        raise UserError(f"The revision is not equal within tolerance: {'; '.join(revision.misses)}.", hint=HINT)
    _require_as_good(revision, evaluation)
    return candidate


def _read(artifact: "Artifact", context: StepContext) -> "Revision":
    from airlock.governance.revisions import Revision

    try:
        return msgspec.json.decode(context.artifacts.read(artifact.digest), type=Revision)
    except msgspec.MsgspecError as error:
        raise UserError(f"The comparison of the revision is not valid: {error}.", hint=HINT) from error


def _require_same(inputs: "Inputs", candidate: "CandidateManifest", revision: "Revision") -> None:
    assert inputs.revises is not None
    pairs = {
        "use case": (inputs.use_case, candidate.use_case),
        "data": (inputs.data.digest, candidate.data),
        "parameters": (inputs.parameters, candidate.parameters),
        "seed": (inputs.seed, candidate.seed),
        "candidate that it was compared with": (inputs.revises.digest, revision.candidate),
        "tensors": (inputs.tensors.digest, revision.tensors),
        "model": (inputs.model.digest, revision.model),
    }
    for name, (given, wanted) in pairs.items():
        if given != wanted:
            raise UserError(f"The {name} of the revision is {given}, not {wanted}.", hint=HINT)


def _require_as_good(revision: "Revision", evaluation: "Evaluation") -> None:
    """Compare right and wrong, sample by sample, on the split that neither model was trained on."""
    from airlock.model.evaluation.report import flips

    beside, paired = evaluation.champion, flips(evaluation)
    if beside is None or beside.manifest != revision.candidate or paired is None:
        raise UserError("The revision was not evaluated against the candidate it revises.", hint=HINT)
    points, allowed = -100 * paired.difference, revision.tolerances.points_lost
    if points > allowed:
        low, high = (-100 * bound for bound in reversed(paired.interval))
        raise UserError(
            f"The revision loses {points:.2f} points of accuracy on the {paired.samples:,} {evaluation.split} samples "
            f"(95 % interval {low:.2f} to {high:.2f}; {len(paired.lost)} newly wrong, {len(paired.gained)} newly "
            f"right), {allowed:g} may be lost.",
            hint="Look at the evaluation report; correct the source, or have the change approved as a new candidate.",
        )
