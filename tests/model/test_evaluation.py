"""Figures per class, against scikit-learn's, and the picture."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from airlock.governance.statistics import wilson
from airlock.model.confusion import draw_confusion
from airlock.model.evaluation import (
    MOST_ERRORS,
    bootstrap_macro_f1,
    class_figures,
    confusion_matrix,
    intervals,
    pictures,
    predictions,
    thumbnail,
)
from airlock.model.tensors import Split


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


class TestIntervals:
    def test_a_class_carries_wilsons_intervals(self) -> None:
        (figures, unseen) = class_figures(np.array([[8, 2], [0, 0]]))
        assert (figures.recall_interval, figures.precision_interval) == (wilson(8, 10), wilson(8, 8))
        assert unseen.recall_interval is None, "without samples nothing is known"

    def test_the_bootstrap_is_that_of_drawing_samples(self) -> None:
        """Against scikit-learn on resamples that are drawn one by one, with other random numbers."""
        from sklearn.metrics import f1_score

        random = np.random.default_rng(3)
        truth = random.integers(0, 3, 150)
        answers = np.where(random.random(150) < 0.8, truth, random.integers(0, 3, 150))
        draws = [random.integers(0, 150, 150) for _ in range(600)]
        scores = [f1_score(truth[drawn], answers[drawn], average="macro") for drawn in draws]
        found = bootstrap_macro_f1(confusion_matrix(truth, answers, 3))
        assert found == pytest.approx(np.quantile(scores, (0.025, 0.975)), abs=0.015)

    def test_the_same_answers_have_the_same_intervals(self) -> None:
        confusion = np.array([[30, 3], [2, 25]])
        assert intervals(confusion) == intervals(confusion.copy())
        assert intervals(confusion)["accuracy"] == wilson(55, 60)

    def test_a_perfect_score_on_few_samples_is_not_sure(self) -> None:
        assert intervals(np.eye(3, dtype=np.int64) * 5)["accuracy"][0] < 0.8


class TestErrors:
    def split(self, count: int, shape: tuple[int, int, int] = (8, 8, 1)) -> Split:
        x = np.arange(count * np.prod(shape)).reshape(count, *shape).astype(np.uint8)
        return Split(x, np.zeros(count, np.int64), np.array([f"s{place}" for place in range(count)], "S64"))

    def probabilities(self, shares: list[float]) -> np.ndarray:
        return np.array([[1 - share, share] for share in shares], np.float32)

    def test_predictions_are_columns_in_the_order_of_the_samples(self) -> None:
        told = predictions(self.split(2), self.probabilities([0.25, 0.9]))
        assert (told.samples, told.truth, told.answer) == (["s0", "s1"], [0, 0], [0, 1])
        assert told.probability == [0.75, 0.9]

    def test_the_most_confident_errors_come_first(self) -> None:
        shares = self.probabilities([0.6, 0.1, 0.99, 0.8])
        assert list(pictures(self.split(4), shares.argmax(axis=1) != 0, shares)) == ["s2", "s3", "s0"]

    def test_there_are_not_more_than_a_page_can_hold(self) -> None:
        count = MOST_ERRORS + 5
        shares = self.probabilities([0.9] * count)
        assert len(pictures(self.split(count), np.ones(count, bool), shares)) == MOST_ERRORS

    @pytest.mark.parametrize(
        ("shape", "size", "mode"),
        [
            ((8, 8, 1), (48, 48), "L"),
            ((28, 28, 3), (56, 56), "RGB"),
            ((4, 2, 2), (24, 48), "L"),
            ((224, 112, 3), (48, 96), "RGB"),
        ],
    )
    def test_a_thumbnail_is_a_small_png_of_the_tensor(
        self, shape: tuple[int, int, int], size: tuple[int, int], mode: str
    ) -> None:
        sample = self.split(1, shape).x[0]
        image = Image.open(io.BytesIO(base64.b64decode(thumbnail(sample))))
        assert (image.format, image.size, image.mode) == ("PNG", size, mode)

    def test_pixels_of_a_small_sample_stay_what_they_are(self) -> None:
        sample = self.split(1).x[0]
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(thumbnail(sample)))))
        assert np.array_equal(image[::6, ::6], sample[..., 0])
        assert np.array_equal(image, np.kron(sample[..., 0], np.ones((6, 6), np.uint8)))


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_the_picture_is_opaque_and_fits_its_classes(classes: int, tmp_path: Path) -> None:
    names = [f"class {place}" for place in range(classes)]
    path = draw_confusion(np.eye(classes, dtype=np.int64) * 9, names, "test: 100.00%", tmp_path / "picture.png")
    image = Image.open(path).convert("RGBA")
    assert image.getpixel((0, 0)) == (255, 255, 255, 255), "dark pages must not shine through"
    assert image.width < 2000
