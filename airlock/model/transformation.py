"""From a dataset version, its labels and its split to tensors, by a use case's ``transform``."""

import io
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from airlock.errors import SourceError, UserError
from airlock.model.preprocessing import Preprocessor
from airlock.model.tensors import SPLITS, Split

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

REPORT_EVERY = 1000


class Sample(NamedTuple):
    """One sample as the stores hold it.

    :param content: the encoded image, or a text in UTF-8.
    :param label: one of the classes; ``None`` when nobody labelled it.
    :param split: train, validation or test.
    """

    sample_id: str
    content: bytes
    label: str | None
    split: str | None


def transform_samples(
    samples: Iterable[Sample], classes: Sequence[str], preprocess: Preprocessor, report: Callable[[int], None]
) -> dict[str, Split]:
    """Transform every sample.

    :param report: called with the number of samples done.
    :return: the splits, each in the order in which its samples came; one without samples is empty.
    :raises UserError: a sample cannot be decoded, is unlabelled or labelled outside the classes, is in no split, or
        ``transform`` fails on it. The message names the sample.
    """
    index = {label: place for place, label in enumerate(classes)}
    parts: dict[str, list[tuple[NDArray[Any], int, str]]] = {name: [] for name in SPLITS}
    done = 0
    for done, sample in enumerate(samples, 1):
        where = _split(sample)
        label = _label(sample, index)
        parts[where].append((preprocess(decode(sample, preprocess.input), sample.sample_id), label, sample.sample_id))
        if done % REPORT_EVERY == 0:
            report(done)
    report(done)
    return {name: _stack(part, preprocess) for name, part in parts.items()}


def decode(sample: Sample, kind: str) -> "Image | str":
    """Return a sample's picture or text.

    :param kind: ``image`` or ``text``.
    :raises SourceError: its bytes are none.
    """
    return _text(sample) if kind == "text" else _picture(sample)


def _text(sample: Sample) -> str:
    try:
        return sample.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"Sample {sample.sample_id} is no text in UTF-8: {error}.", hint="Clean it with `repair_text`."
        ) from error


def _picture(sample: Sample) -> "Image":
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(sample.content))
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise SourceError(
            f"Sample {sample.sample_id} is no readable picture: {error}.", hint="Run the clean step on this dataset."
        ) from error
    return image


def _split(sample: Sample) -> str:
    if sample.split not in SPLITS:
        raise UserError(
            f"Sample {sample.sample_id} is in the split {sample.split!r}, not one of {', '.join(SPLITS)}.",
            hint="Run the split step on this dataset version.",
        )
    return sample.split


def _label(sample: Sample, index: dict[str, int]) -> int:
    if sample.label is None:
        raise UserError(f"Sample {sample.sample_id} has no label.", hint="Label it, or take it out of the dataset.")
    if sample.label not in index:
        raise UserError(
            f"Sample {sample.sample_id} is labelled {sample.label!r}, which is no class of this use case.",
            hint=f"Classes: {', '.join(index)}.",
        )
    return index[sample.label]


def _stack(part: "list[tuple[NDArray[Any], int, str]]", made: Preprocessor) -> Split:
    x = np.empty((len(part), *(made.shape or (0,))), made.dtype or "uint8")
    for place, (tensor, _, _) in enumerate(part):
        x[place] = tensor
    return Split(x, np.array([label for _, label, _ in part], np.int64), np.array([name for *_, name in part], "S64"))
