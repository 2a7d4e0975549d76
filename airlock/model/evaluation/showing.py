"""What people see of single samples: what was answered to each, and how those look that were answered wrong."""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

from airlock.governance.evaluations import Predictions
from airlock.model.tensors import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_ERRORS = 300
SIDE = 48  # pixels: a smaller picture is scaled up to it, a larger one down to twice of it
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def predictions(split: Split, probabilities: "NDArray[np.float32]") -> Predictions:
    """Return what was answered to every sample, in columns."""
    answers = probabilities.argmax(axis=1)
    return Predictions(
        samples=[name.decode() for name in split.ids.tolist()],
        truth=split.y.tolist(),
        answer=answers.tolist(),
        probability=[round(float(value), 4) for value in probabilities.max(axis=1)],
    )


def chosen(
    wrong: "NDArray[np.bool_]", probabilities: "NDArray[np.float32]", first: "NDArray[np.bool_] | None" = None
) -> "NDArray[np.int64]":
    """Return places of the samples to show, 300 at most: the most confident errors first.

    :param first: of the wrong ones, those that go before the others: on these two models differ.
    """
    places = np.flatnonzero(wrong)
    later = np.zeros(len(places), bool) if first is None else ~first[places]
    order = np.lexsort((-probabilities.max(axis=1)[places], later))[:MOST_ERRORS]
    return places[order]


def pictures(split: Split, places: "NDArray[np.int64]") -> dict[str, str]:
    """Return what the model saw of some samples.

    :return: PNG in base64 by sample id, in the order of the places.
    """
    return {split.ids[place].decode(): thumbnail(split.x[place]) for place in places}


def is_picture(x: "NDArray[np.generic]") -> bool:
    """Say whether tensors ``[N, …]`` can be shown as they are: ``uint8 [N, height, width, channels]``."""
    return x.dtype == np.uint8 and x.ndim == 4


def thumbnail(sample: "NDArray[np.uint8]") -> str:
    """Return a small PNG of ``uint8 [height, width, channels]`` in base64; pixels stay square and sharp."""
    from PIL import Image

    channels = sample.shape[-1] if sample.shape[-1] in MODES else 1
    pixels = np.ascontiguousarray(sample[..., :channels])
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels, MODES[channels])
    factor = -(-SIDE // max(image.size))
    if factor > 1:
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    image.thumbnail((2 * SIDE, 2 * SIDE))
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return base64.b64encode(content.getvalue()).decode()
