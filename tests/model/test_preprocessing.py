"""A use case's code file and what its ``transform`` may return."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from airlock.errors import SourceError, UserError
from airlock.model.preprocessing import Preprocessor
from airlock.model.transformation import Sample, transform_samples
from airlock.model.usercode import load_function
from tests.model.conftest import USE_CASES

GOOD = "import numpy as np\ndef transform(image):\n    return np.asarray(image.convert('L'))[..., None]\n"


@pytest.fixture
def code(tmp_path: Path) -> Callable[[str], Path]:
    """Give ``code(text)``: a code file's path."""

    def write(text: str) -> Path:
        path = tmp_path / "transform.py"
        path.write_text(text)
        return path

    return write


def png(side: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (side, side), 100).save(buffer, "PNG")
    return buffer.getvalue()


def sample(**changes: object) -> Sample:
    return Sample("a" * 64, png(), "cat", "train")._replace(**changes)


class TestACodeFile:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("x = 1", "has no function 'transform'"),
            ("transform = 3", "has no function 'transform'"),
            ("def transform(:", "cannot be imported: SyntaxError"),
            ("import no_such_package", "cannot be imported: ModuleNotFoundError"),
            ("import sys\nsys.exit(0)", "cannot be imported: SystemExit"),
        ],
    )
    def test_that_cannot_be_used_is_refused(self, code: Callable[[str], Path], text: str, message: str) -> None:
        with pytest.raises(UserError, match=message):
            load_function(code(text), "transform")

    def test_shares_nothing_with_one_of_the_same_name(self, code: Callable[[str], Path]) -> None:
        first = load_function(code("def transform():\n    return 1\n"), "transform")
        second = load_function(code("def transform():\n    return 2\n"), "transform")
        assert (first(), second()) == (1, 2)


class TestATransform:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("1 / 0", "transform failed on sample s1: ZeroDivisionError"),
            ("return [1]", "a list, not an array, for sample s1"),
            ("return np.zeros((8, 8, 1))", "float64, not one of uint8, int32, float32, for sample s1"),
            ("return np.zeros((8, 8), 'uint8')", r"the shape \(8, 8\), not \(height, width, channels\)"),
        ],
    )
    def test_that_returns_something_else_is_refused(self, code: Callable[[str], Path], body: str, message: str) -> None:
        preprocess = Preprocessor(code(f"import numpy as np\ndef transform(image):\n    {body}\n"))
        with pytest.raises(UserError, match=message):
            preprocess(Image.new("L", (8, 8)), "s1")

    def test_whose_shape_depends_on_the_picture_is_refused_at_the_second(self, code: Callable[[str], Path]) -> None:
        preprocess = Preprocessor(code(GOOD))
        preprocess(Image.new("L", (8, 8)), "s1")
        with pytest.raises(UserError, match=r"the shape \(9, 9, 1\), not \(8, 8, 1\) as before, for sample s2"):
            preprocess(Image.new("L", (9, 9)), "s2")

    @pytest.mark.parametrize(("use_case", "shape"), [("digits", (8, 8, 1)), ("fashion", (28, 28, 1))])
    def test_of_a_use_case_takes_pictures_of_any_size_and_mode(self, use_case: str, shape: tuple[int, ...]) -> None:
        preprocess = Preprocessor(USE_CASES / use_case / "transform.py", shape)
        for mode, side in (("L", shape[0]), ("RGB", 100), ("RGBA", 5), ("1", 30)):
            assert preprocess(Image.new(mode, (side, side)), mode).shape == shape


class TestSamples:
    def test_become_splits_with_the_place_of_their_class(self, code: Callable[[str], Path]) -> None:
        rows = [sample(label="dog"), sample(split="test"), sample(split="validation")]
        done: list[int] = []
        splits = transform_samples(rows, ["cat", "dog"], Preprocessor(code(GOOD)), done.append)
        assert splits["train"].y.tolist() == [1]
        assert splits["test"].y.tolist() == [0]
        assert splits["train"].x.shape == (1, 8, 8, 1)
        assert splits["train"].x.dtype == np.uint8
        assert splits["train"].ids.tolist() == [b"a" * 64]
        assert done == [3]

    @pytest.mark.parametrize(
        ("bad", "kind", "message"),
        [
            (sample(label="bird"), UserError, "labelled 'bird', which is no class"),
            (sample(label=None), UserError, "has no label"),
            (sample(split=None), UserError, "is in the split None"),
            (sample(content=b""), SourceError, "is no readable picture"),
            (sample(content=png()[:45]), SourceError, "is no readable picture"),
        ],
    )
    def test_that_cannot_be_used_are_named(
        self, code: Callable[[str], Path], bad: Sample, kind: type[Exception], message: str
    ) -> None:
        with pytest.raises(kind, match=f"{'a' * 64}.*{message}"):
            transform_samples([sample(), bad], ["cat", "dog"], Preprocessor(code(GOOD)), lambda done: None)
