"""How good a model is on samples it never saw: figures per class, how sure they are, and which samples it got wrong."""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

from airlock.governance.evaluations import ClassFigures, Interval, Predictions
from airlock.governance.statistics import wilson
from airlock.model.tensors import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
MOST_ERRORS = 300
SIDE = 48  # pixels: a smaller picture is scaled up to it, a larger one down to twice of it
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def confusion_matrix(truth: "NDArray[np.int64]", answers: "NDArray[np.int64]", classes: int) -> "NDArray[np.int64]":
    """Return counts ``[true class, answered class]``."""
    return np.bincount(truth * classes + answers, minlength=classes**2).reshape(classes, classes)


def class_figures(confusion: "NDArray[np.int64]") -> list[ClassFigures]:
    """Return the figures of each class of a confusion matrix."""
    hits, support, answered = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    return [_figures(*map(int, counts)) for counts in zip(hits, support, answered, strict=True)]


def intervals(confusion: "NDArray[np.int64]") -> dict[str, Interval]:
    """Return the 95 % intervals of accuracy (Wilson) and macro F1 (bootstrap): the same for the same answers."""
    found = {"macro_f1": bootstrap_macro_f1(confusion)}
    share = wilson(int(confusion.trace()), int(confusion.sum()))
    return found | ({"accuracy": share} if share else {})


def bootstrap_macro_f1(confusion: "NDArray[np.int64]") -> Interval:
    """Return the 95 % percentile interval of macro F1 over 1,000 resamples.

    Efron, B. (1979): Bootstrap methods: another look at the jackknife. Annals of Statistics 7, 1-26. To draw samples
    with replacement is to draw counts of the confusion matrix's cells.
    """
    classes, random = len(confusion), np.random.default_rng(0)
    truth, answer = np.nonzero(confusion)
    cells = confusion[truth, answer]
    drawn = random.multinomial(cells.sum(), cells / cells.sum(), RESAMPLES)
    scores = np.empty(RESAMPLES)
    for place, counts in enumerate(drawn):
        hits = np.bincount(truth, counts * (truth == answer), classes)
        seen = np.bincount(truth, counts, classes) + np.bincount(answer, counts, classes)
        scores[place] = np.divide(2 * hits, seen, out=np.zeros(classes), where=seen > 0).mean()
    low, high = np.quantile(scores, (0.025, 0.975))
    return round(float(low), 6), round(float(high), 6)


def predictions(split: Split, probabilities: "NDArray[np.float32]") -> Predictions:
    """Return what was answered to every sample, in columns."""
    answers = probabilities.argmax(axis=1)
    return Predictions(
        samples=[name.decode() for name in split.ids.tolist()],
        truth=split.y.tolist(),
        answer=answers.tolist(),
        probability=[round(float(value), 4) for value in probabilities.max(axis=1)],
    )


def pictures(split: Split, wrong: "NDArray[np.bool_]", probabilities: "NDArray[np.float32]") -> dict[str, str]:
    """Return what the model saw of the samples it got wrong, the most confident errors first, 300 at most.

    :return: PNG in base64 by sample id.
    """
    places = np.flatnonzero(wrong)
    order = np.argsort(-probabilities.max(axis=1)[places], kind="stable")[:MOST_ERRORS]
    return {split.ids[place].decode(): thumbnail(split.x[place]) for place in places[order]}


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


def accuracy(probabilities: "NDArray[np.float32]", truth: "NDArray[np.int64]") -> float:
    """Return the share of samples whose most probable class is the true one."""
    return float((probabilities.argmax(axis=1) == truth).mean())


def _figures(hits: int, support: int, answered: int) -> ClassFigures:
    precision = hits / answered if answered else 0.0
    recall = hits / support if support else 0.0
    f1 = 2 * hits / (support + answered) if support + answered else 0.0
    return ClassFigures(
        precision=precision,
        recall=recall,
        f1=f1,
        support=support,
        precision_interval=wilson(hits, answered),
        recall_interval=wilson(hits, support),
    )
