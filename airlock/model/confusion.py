"""Draws a confusion matrix: readable on a light page and on a dark one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_CLASSES_WITH_NUMBERS = 30


def draw_confusion(confusion: "NDArray[np.int64]", classes: Sequence[str], title: str, path: Path) -> Path:
    """Write the picture as PNG, on an opaque white sheet of its own.

    :param confusion: counts ``[true class, answered class]``; colours are shares of the true class.
    """
    from matplotlib.figure import Figure

    side = min(3.5 + 0.45 * len(classes), 16)
    figure = Figure(figsize=(side, side), dpi=110, facecolor="white", layout="constrained")
    axes = figure.subplots()
    shares = confusion / confusion.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(classes))
    axes.set_xticks(places, classes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, classes)
    axes.set(xlabel="answered", ylabel="true", title=title)
    if len(classes) <= MOST_CLASSES_WITH_NUMBERS:
        _write_counts(axes, confusion, shares)
    figure.savefig(path, format="png", metadata={"Software": None})
    return path


def _write_counts(axes: Any, confusion: "NDArray[np.int64]", shares: "NDArray[np.float64]") -> None:
    for true, row in enumerate(confusion):
        for answered, count in enumerate(row):
            if count:
                colour = "white" if shares[true, answered] > 0.5 else "black"
                axes.text(answered, true, str(count), ha="center", va="center", color=colour)
