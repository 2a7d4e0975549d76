"""Whether a model's probabilities can be taken at their word, and the temperature that would make them so."""

from typing import TYPE_CHECKING

import numpy as np

from airlock.governance.evaluations import Bin, Calibration
from airlock.model.evaluation.figures import BINS, LEAST, bins, log_losses, point_figures

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLDEST, HOTTEST = 0.05, 20.0
TEMPERED = ("log_loss", "brier", "ece")


def calibration(
    probabilities: "NDArray[np.float32]", truth: "NDArray[np.int64]", temperature: float | None
) -> Calibration:
    """Return the reliability diagram of answers, and what a temperature would make of their scores."""
    scores = point_figures(temper(probabilities, temperature), truth) if temperature is not None else {}
    return Calibration(
        bins=reliability(probabilities, truth),
        temperature=temperature,
        tempered={name: scores[name] for name in TEMPERED if name in scores},
    )


def reliability(probabilities: "NDArray[np.float32]", truth: "NDArray[np.int64]") -> list[Bin]:
    """Return confidence against accuracy in 15 bins of the same width.

    Guo, C. et al. (2017): On calibration of modern neural networks. ICML, 1321-1330.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == truth
    places = bins(confidence)
    counts = np.bincount(places, minlength=BINS)
    sums = [np.bincount(places, values, BINS) for values in (confidence, right)]
    return [
        Bin(
            low=round(place / BINS, 6),
            high=round((place + 1) / BINS, 6),
            count=int(counts[place]),
            confidence=round(float(sums[0][place] / counts[place]), 6),
            accuracy=round(float(sums[1][place] / counts[place]), 6),
        )
        for place in np.flatnonzero(counts).tolist()
    ]


def fit_temperature(probabilities: "NDArray[np.float32]", truth: "NDArray[np.int64]") -> float:
    """Return the temperature, from 0.05 to 20, that makes log loss least; more than 1 says the model is too sure.

    The logarithm of a softmax's output is its input up to a constant, so that probabilities are all it needs.

    :param probabilities: of samples that the model was neither trained nor measured on: the validation split's.
    """
    from scipy.optimize import minimize_scalar

    def loss(logarithm: float) -> float:
        return float(log_losses(temper(probabilities, float(np.exp(logarithm))), truth).mean())

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return round(float(np.exp(found.x)), 4)


def temper(probabilities: "NDArray[np.float32]", temperature: float) -> "NDArray[np.float32]":
    """Return the probabilities of the same answers with logits divided by a temperature."""
    from scipy.special import softmax

    logits = np.log(probabilities.astype(np.float64).clip(LEAST, 1.0))
    tempered: NDArray[np.float32] = softmax(logits / temperature, axis=1).astype(np.float32)
    return tempered
