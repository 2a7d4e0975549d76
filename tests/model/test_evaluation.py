"""Figures per class, against scikit-learn's, and the picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from airlock.model.confusion import draw_confusion
from airlock.model.evaluation import class_figures, confusion_matrix


def test_figures_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import confusion_matrix as reference
    from sklearn.metrics import precision_recall_fscore_support

    random = np.random.default_rng(0)
    truth = random.integers(0, 4, 200)
    answers = np.where(random.random(200) < 0.7, truth, random.integers(0, 4, 200))
    confusion = confusion_matrix(truth, answers, 4)
    assert np.array_equal(confusion, reference(truth, answers))
    expected = precision_recall_fscore_support(truth, answers)
    found = [(one.precision, one.recall, one.f1, one.support) for one in class_figures(confusion)]
    assert np.allclose(np.transpose(expected), found)


def test_a_class_never_answered_has_precision_zero() -> None:
    figures = class_figures(confusion_matrix(np.array([0, 1]), np.array([0, 0]), 3))
    assert (figures[1].precision, figures[1].recall, figures[1].f1) == (0, 0, 0)
    assert figures[2].support == 0


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_the_picture_is_opaque_and_fits_its_classes(classes: int, tmp_path: Path) -> None:
    names = [f"class {place}" for place in range(classes)]
    path = draw_confusion(np.eye(classes, dtype=np.int64) * 9, names, "test: 100.00%", tmp_path / "picture.png")
    image = Image.open(path).convert("RGBA")
    assert image.getpixel((0, 0)) == (255, 255, 255, 255), "dark pages must not shine through"
    assert image.width < 2000
