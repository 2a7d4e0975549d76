"""What a revision says of how it compares with the candidate it revises, as a document for whoever judges it."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from airlock.digests import short

Verdict = Literal["bit-equal", "equal within tolerance", "different"]


class SplitDifference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the revised transform makes of one split, beside what the candidate was trained on.

    :param kind: ``dtype [shape]`` of one sample; ``before`` the candidate's.
    :param same_samples: whether they are the same samples, with the same labels, in the same order.
    :param differing: samples with any other value; ``examples`` the ids of the first of them.
    :param largest: largest difference of a value; ``None`` where the kinds or the samples differ, or one of two values
        is no number.
    """

    split: str
    samples: int
    kind: str
    before: str
    same_samples: bool
    differing: int = 0
    examples: list[str] = []
    largest: float | None = None


class ModelDifference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two models, each asked about the same validation samples as its own transform makes them.

    :param parameters: how many numbers were trained; ``before`` the candidate's, here and below.
    :param architecture: what is not the same of inputs, outputs and weights, in sentences.
    :param weights: largest difference of a weight, paired in their order; ``None`` where they cannot be paired.
    :param largest: largest difference of a probability; ``None`` where one of two is no number, or the classes differ.
    :param flips: samples that are answered with another class.
    """

    parameters: int
    parameters_before: int
    architecture: list[str]
    weights: float | None
    samples: int
    largest: float | None
    flips: int
    accuracy: float
    accuracy_before: float


class Tolerances(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What still counts as equal.

    :param transform: difference of a value that the transform makes; 0 asks for the same bits.
    :param outputs: difference of a probability.
    :param points_lost: percentage points of accuracy on the test samples.
    """

    transform: float = 0.0
    outputs: float = 1e-3
    points_lost: float = 0.0


class Revision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A revision beside the candidate it revises.

    :param candidate: digest of the candidate's manifest.
    :param tensors: digest of the revision's; likewise ``model``, empty when it was refused before it was trained.
    :param revised: which sources are new: ``transform``, ``network``.
    :param same_model: whether the two models are the same bytes.
    :param changed: what is not as it was when the candidate was made, and may explain a difference.
    """

    candidate: str
    revised: list[str]
    tolerances: Tolerances
    tensors: str
    splits: list[SplitDifference]
    model: str = ""
    same_model: bool = False
    difference: ModelDifference | None = None
    changed: list[str] = []

    @property
    def misses(self) -> list[str]:
        """What is not equal within tolerance, in sentences with their figures."""
        found = [miss for split in self.splits for miss in self._of_split(split)]
        return found + list(self._of_model(self.difference)) if self.difference else found

    @property
    def verdict(self) -> Verdict:
        """One of three."""
        if self.misses or self.difference is None:
            return "different"
        same = self.same_model and not any(split.differing for split in self.splits)
        return "bit-equal" if same else "equal within tolerance"

    def _of_split(self, split: SplitDifference) -> Iterator[str]:
        if not split.same_samples:
            yield f"{split.split}: other samples or labels than the candidate's"
        elif split.kind != split.before:
            yield f"{split.split}: samples are {split.kind}, the candidate's {split.before}"
        elif split.largest is None or not split.largest <= self.tolerances.transform:
            yield (
                f"{split.split}: {split.differing:,} of {split.samples:,} samples are transformed otherwise, by "
                f"{_up_to(split.largest)} (tolerance {self.tolerances.transform:g}), for example "
                f"{', '.join(map(short, split.examples))}"
            )

    def _of_model(self, model: ModelDifference) -> Iterator[str]:
        yield from model.architecture
        if model.largest is None or not model.largest <= self.tolerances.outputs:
            weights = "" if model.weights is None else f", weights by {_up_to(model.weights)}"
            yield (
                f"validation: probabilities differ by {_up_to(model.largest)} (tolerance "
                f"{self.tolerances.outputs:g}){weights}; {model.flips:,} of {model.samples:,} answers flipped, "
                f"accuracy {model.accuracy:.4f} instead of {model.accuracy_before:.4f}"
            )


def _up_to(largest: float | None) -> str:
    return "what is no number" if largest is None else f"up to {largest:.3g}"
