"""Figures per class, against scikit-learn's, and the picture."""

import base64
import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from airlock.governance.statistics import wilson
from airlock.model.confusion import draw_confusion
from airlock.model.evaluation.calibration import calibration, fit_temperature, reliability, temper
from airlock.model.evaluation.figures import class_figures, confusion_matrix, measure
from airlock.model.evaluation.showing import MOST_ERRORS, chosen, pictures, predictions, thumbnail
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

    def test_figures_and_intervals_are_those_of_scikit_learn_on_drawn_samples(self) -> None:
        """Against scikit-learn on resamples that are drawn one by one, with other random numbers."""
        from sklearn.metrics import f1_score, log_loss

        shares, truth = answered(150, 3, seed=3)
        random = np.random.default_rng(5)
        draws = [random.integers(0, 150, 150) for _ in range(600)]
        wanted = {
            "macro_f1": lambda at: f1_score(truth[at], shares[at].argmax(axis=1), average="macro"),
            "log_loss": lambda at: log_loss(truth[at], shares[at], labels=[0, 1, 2]),
            "brier": lambda at: np.square(shares[at] - np.eye(3)[truth[at]]).sum(axis=1).mean(),
        }
        found = measure(shares, truth)
        for name, figure in wanted.items():
            assert found.values[name] == pytest.approx(figure(slice(None)), abs=1e-5)
            drawn = np.quantile([figure(at) for at in draws], (0.025, 0.975))
            assert found.intervals[name] == pytest.approx(drawn, abs=0.02), name

    def test_classes_that_a_slice_does_not_have_say_nothing_about_it(self) -> None:
        from sklearn.metrics import f1_score

        shares, truth = answered(200, 5, seed=2)
        for kept in (truth == 3, (truth == 1) | (truth == 4)):
            wanted = f1_score(truth[kept], shares[kept].argmax(axis=1), average="macro")
            assert measure(shares[kept], truth[kept]).values["macro_f1"] == pytest.approx(wanted, abs=1e-5)

    def test_a_class_has_an_interval_of_its_f1(self) -> None:
        shares, truth = answered(200, 3, seed=1)
        found = measure(shares, truth)
        confusion = confusion_matrix(truth, shares.argmax(axis=1), 3)
        for figures in class_figures(confusion, found.f1_intervals):
            assert figures.f1_interval is not None
            assert figures.f1_interval[0] < figures.f1 < figures.f1_interval[1]

    def test_the_same_answers_have_the_same_intervals(self) -> None:
        shares, truth = answered(60, 2, seed=0)
        assert measure(shares, truth) == measure(shares.copy(), truth)
        hits = int((shares.argmax(axis=1) == truth).sum())
        assert measure(shares, truth).intervals["accuracy"] == wilson(hits, 60)

    def test_a_perfect_score_on_few_samples_is_not_sure(self) -> None:
        truth = np.repeat(np.arange(3), 5)
        assert measure(np.eye(3, dtype=np.float32)[truth], truth).intervals["accuracy"][0] < 0.8

    def test_no_probability_for_the_true_class_is_a_finite_loss(self) -> None:
        found = measure(np.array([[1, 0], [1, 0]], np.float32), np.array([0, 1]))
        assert found.values["log_loss"] == pytest.approx(-np.log(1e-7) / 2, rel=1e-3)
        assert found.values["brier"] == 1, "two of two wrong would be 2"


def answered(count: int, classes: int, seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and the truth they were drawn around; ``scale`` multiplies the logits."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, count)
    logits = random.normal(size=(count, classes))
    logits[np.arange(count), truth] += 1.5
    shares = np.exp(scale * logits)
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32), truth


class TestCalibration:
    def calibrated(self, count: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
        """Draw the truth from the probabilities, then sharpen what the model says of them."""
        random = np.random.default_rng(2)
        shares = random.dirichlet((1, 1, 1), count)
        truth = np.array([random.choice(3, p=row) for row in shares])
        sharp = shares**sharpness
        return (sharp / sharp.sum(axis=1, keepdims=True)).astype(np.float32), truth

    def test_the_error_is_that_of_its_definition(self) -> None:
        shares, truth = answered(400, 3, seed=4)
        confidence, right = shares.max(axis=1), shares.argmax(axis=1) == truth
        edges = np.linspace(0, 1, 16)
        error = 0.0
        for low, high in itertools.pairwise(edges):
            inside = (confidence > low) & (confidence <= high)
            if inside.any():
                error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
        assert measure(shares, truth).values["ece"] == pytest.approx(error, abs=1e-5)
        assert sum(each.count for each in reliability(shares, truth)) == 400

    def test_temperature_undoes_what_made_a_model_too_sure(self) -> None:
        shares, truth = self.calibrated(4000, sharpness=2.5)
        assert fit_temperature(shares, truth) == pytest.approx(2.5, rel=0.1)
        told = calibration(shares, truth, 2.5)
        before = measure(shares, truth).values
        assert told.tempered["ece"] < 0.03 < before["ece"]
        assert told.tempered["log_loss"] < before["log_loss"]

    def test_a_temperature_changes_no_answer(self) -> None:
        shares, _ = answered(100, 4, seed=6)
        assert np.array_equal(temper(shares, 3.0).argmax(axis=1), shares.argmax(axis=1))

    def test_without_a_validation_split_there_is_no_temperature(self) -> None:
        told = calibration(*answered(50, 2, seed=0), None)
        assert (told.temperature, told.tempered) == (None, {})
        assert told.bins


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
        wrong = shares.argmax(axis=1) != 0
        assert list(pictures(self.split(4), chosen(wrong, shares))) == ["s2", "s3", "s0"]
        flipped = np.array([True, False, False, False])
        assert list(pictures(self.split(4), chosen(wrong, shares, first=flipped))) == ["s0", "s2", "s3"]

    def test_there_are_not_more_than_a_page_can_hold(self) -> None:
        count = MOST_ERRORS + 5
        shares = self.probabilities([0.9] * count)
        assert len(chosen(np.ones(count, bool), shares)) == MOST_ERRORS

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
