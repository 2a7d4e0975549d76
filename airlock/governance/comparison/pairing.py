"""Two models on the samples both answered: which flipped, and whether that can be chance."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from airlock.errors import IntegrityError
from airlock.governance.comparison.parts import Flip, Paired
from airlock.governance.evaluations import Predictions
from airlock.governance.statistics import mcnemar, paired_difference


class Answered(NamedTuple):
    """A model's answers.

    :param pictures: PNG in base64 of what it answered wrong, by sample id; ``texts`` the beginning of a text.
    """

    predictions: Predictions
    classes: Sequence[str]
    pictures: Mapping[str, str]
    texts: Mapping[str, str] = MappingProxyType({})


class _Answer(NamedTuple):
    truth: str
    answer: str
    probability: float

    @property
    def right(self) -> bool:
        return self.truth == self.answer


def pair(now: Answered, before: Answered) -> Paired | None:
    """Compare on the samples that both answered with the same label; ``None`` when there is no such sample."""
    new, old = _answers(now), _answers(before)
    shared = [name for name, answer in new.items() if name in old and old[name].truth == answer.truth]
    if not shared:
        return None
    pictures, texts = {**before.pictures, **now.pictures}, {**before.texts, **now.texts}
    flips = [
        _flip(name, new[name], old[name], pictures, texts) for name in shared if new[name].right != old[name].right
    ]
    gained = sorted((flip for flip in flips if flip.now == flip.truth), key=lambda flip: -flip.before_probability)
    lost = sorted((flip for flip in flips if flip.now != flip.truth), key=lambda flip: -flip.probability)
    return Paired(
        samples=len(shared),
        gained=gained,
        lost=lost,
        p_value=mcnemar(len(gained), len(lost)),
        difference=(len(gained) - len(lost)) / len(shared),
        interval=paired_difference(len(gained), len(lost), len(shared)),
    )


def _answers(answered: Answered) -> dict[str, _Answer]:
    told, classes = answered.predictions, dict(enumerate(answered.classes))
    try:
        columns = zip(told.samples, told.truth, told.answer, told.probability, strict=True)
        return {name: _Answer(classes[truth], classes[answer], share) for name, truth, answer, share in columns}
    except (KeyError, ValueError) as error:
        raise IntegrityError(f"The predictions of an evaluation do not fit together: {error}.") from error


def _flip(sample: str, now: _Answer, before: _Answer, pictures: Mapping[str, str], texts: Mapping[str, str]) -> Flip:
    return Flip(
        sample=sample,
        truth=now.truth,
        now=now.answer,
        before=before.answer,
        probability=now.probability,
        before_probability=before.probability,
        picture=pictures.get(sample, ""),
        text=texts.get(sample, ""),
    )
