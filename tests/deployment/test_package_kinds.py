"""Every kind of input and output: what is taken, what is answered, what is refused and how that is said."""

import base64
import io
import json
from typing import Any

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray
from onnx_models import onnx_model, same
from PIL import Image
from tiny_packages import AFTER, SCORES, TEXT, advised, array, packaged, two_of_two

from airlock.deployment import outputs
from airlock.deployment.answers import apart, stated, to_json
from airlock.deployment.badinput import png_header
from airlock.deployment.building import code_of
from airlock.deployment.config import decode_config, schema
from airlock.deployment.inputs import ImageInput, ImageLimits, TensorInput, TextInput
from airlock.deployment.outputs import AnyOutput
from airlock.deployment.package import Package
from airlock.deployment.served import ServedModel
from airlock.errors import IntegrityError, ModelError, SourceError, UserError

PICTURE = b"""
import numpy as np


def transform(image):
    return np.asarray(image.resize((2, 2)), dtype=np.uint8)
"""


def through(output: AnyOutput, values: Any, dtype: str = "float32") -> Any:
    """Return what is answered where the model gives these values."""
    shape = list(np.shape(values))
    package = packaged(
        same(dtype, shape), [TensorInput(name="x", shape=shape, dtype=dtype)], [output], {"x": array(values, dtype)}
    )  # type: ignore[arg-type]
    served = ServedModel(package)
    served.require_samples()
    (sample,) = package.samples
    found: dict[str, Any] = json.loads(to_json(served.predict(package.sent(sample), sample.types)))
    assert apart(found, stated(sample, package.config)) == 0, "a sample states the whole answer"
    jsonschema.validate(json.loads(package.file("airlock.json")), schema())
    return found


def pixels(png: str) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


class TestOutput:
    def test_of_probabilities_lies_at_the_top(self) -> None:
        answer = through(outputs.Probabilities(classes=["a", "b"]), [0.25, 0.75])
        assert answer == {"label": "b", "probability": 0.75, "probabilities": {"a": 0.25, "b": 0.75}}

    def test_of_labels_reaches_the_threshold_and_the_surest_come_first(self) -> None:
        kind = outputs.Labels(name="tags", classes=["a", "b", "c", "d"], threshold=0.5, top=2)
        answer = through(kind, [0.5, 0.25, 0.75, 0.625])
        assert answer == {"tags": [{"label": "c", "score": 0.75}, {"label": "d", "score": 0.625}]}

    def test_of_a_vector_is_its_figures(self) -> None:
        assert through(outputs.Vector(name="embedding", shape=[2]), [1.5, -2]) == {"embedding": [1.5, -2.0]}

    @pytest.mark.parametrize(
        ("values", "dtype"),
        [
            ([[0, 1], [1, 0]], "int32"),
            ([[0.1, 0.9], [0.6, 0.2]], "float32"),
            ([[[0.9, 0.1], [0.1, 0.9]], [[0.2, 0.8], [0.7, 0.3]]], "float32"),
        ],
        ids=["numbers", "one class's scores", "scores of each class"],
    )
    def test_of_a_mask_is_a_picture_of_class_numbers(self, values: Any, dtype: Any) -> None:
        kind = outputs.Mask(name="cells", shape=list(np.shape(values)), dtype=dtype, classes=["ground", "cell"])
        answer = through(kind, values, dtype)["cells"]
        assert pixels(answer["png"]).tolist() == [[0, 1], [1, 0]]
        assert answer["classes"] == ["ground", "cell"]

    def test_of_a_heatmap_is_its_figures(self) -> None:
        assert through(outputs.Heatmap(name="heat", shape=[1, 2]), [[0.5, 2]]) == {"heat": [[0.5, 2.0]]}

    def test_of_an_image_is_a_picture(self) -> None:
        answer = through(outputs.Picture(name="clean", shape=[1, 2, 1]), [[[0.0], [2.0]]])
        assert pixels(answer["clean"]["png"]).tolist() == [[0, 255]]
        colour = through(outputs.Picture(name="clean", shape=[1, 1, 3], dtype="uint8"), [[[1, 2, 3]]], "uint8")
        assert pixels(colour["clean"]["png"]).tolist() == [[[1, 2, 3]]]

    def test_of_a_contour_is_its_points(self) -> None:
        answer = through(outputs.Contour(name="line", shape=[2, 2]), [[0, 1], [2, 3]])
        assert answer == {"line": [[0.0, 1.0], [2.0, 3.0]]}


class TestPostprocessing:
    def test_makes_typed_and_custom_outputs_of_the_model_s(self) -> None:
        served = ServedModel(advised(least=0.3))
        answer = served.predict({"x": b"[0.5, 0.25, 0.25]"}, {"x": "application/json"})
        assert answer["advice"] == {"sure": True}
        assert answer["line"].tolist() == [[0.5, 0.5], [0.25, 0.25], [0.25, 0.25]]
        assert served.package.samples[0].outputs["advice"] == {"sure": True}
        served.require_samples()

    def test_that_answers_otherwise_than_packaged_is_not_served(self) -> None:
        package = advised()
        text = package.file("samples.json").replace(b"false", b"true")
        with pytest.raises(IntegrityError, match="samples differ"):
            ServedModel(Package(package.files | {"samples.json": text})).require_samples()

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("raise KeyError('x')", "postprocess failed: KeyError: 'x'"),
            ("return {}", r"returned , not advice, line"),
            ("return 3", "returned a int"),
            ("return {'advice': object(), 'line': outputs['scores']}", "no JSON for 'advice'"),
            ("return {'advice': float('nan'), 'line': outputs['scores']}", "no JSON for 'advice'"),
            ("return {'advice': 1, 'line': outputs['scores']}", r"float32 \[3\] for 'line', not float32 \[3, 2\]"),
            ("return {'advice': 1, 'line': [1]}", "a list for 'line'"),
        ],
    )
    def test_that_is_wrong_is_the_owner_s_to_mend(self, code: str, words: str) -> None:
        with pytest.raises(ModelError, match=words):
            advised(f"def postprocess(outputs):\n    {code}\n".encode())

    def test_changed_after_packaging_is_not_run(self) -> None:
        package = advised()
        with pytest.raises(IntegrityError, match=r"after\.py is not the code"):
            ServedModel(Package(package.files | {"after.py": AFTER + b"\n"}))


class TestImageInput:
    @pytest.fixture(scope="class")
    @classmethod
    def served(cls) -> ServedModel:
        model = same("uint8", [2, 2, 3])
        expected = ImageInput(
            name="photo", mode="RGB", shape=[2, 2, 3], mime_types=["image/png", "image/bmp"],
            preprocessing=code_of("before.py", PICTURE), limits=ImageLimits(bytes=2000, side=40, pixels=900),
        )  # fmt: skip
        given = [outputs.Picture(name="seen", shape=[2, 2, 3], dtype="uint8")]
        return ServedModel(packaged(model, [expected], list(given), {"photo": cls.image()}, {"before.py": PICTURE}))

    @staticmethod
    def image(width: int = 4, height: int = 4, kind: str = "PNG") -> bytes:
        file = io.BytesIO()
        Image.new("L", (width, height), 200).save(file, kind)
        return file.getvalue()

    def test_is_converted_to_the_mode_of_training(self, served: ServedModel) -> None:
        assert pixels(served.predict({"photo": self.image()})["seen"]["png"]).tolist() == [[[200] * 3] * 2] * 2

    def test_of_another_format_is_refused(self, served: ServedModel) -> None:
        with pytest.raises(SourceError, match=r"sent as image/jpeg.*image/png, image/bmp"):
            served.prepare({"photo": self.image(kind="JPEG")}, {"photo": "image/jpeg"})
        with pytest.raises(SourceError, match=r"not an image that can be read.*Send image/bmp\."):
            served.prepare({"photo": self.image()}, {"photo": "image/bmp"})
        with pytest.raises(SourceError, match="not an image that can be read"):
            served.prepare({"photo": self.image(kind="JPEG")})

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "zero bytes"),
            (b"x" * 2001, "2001 bytes, more than 2000"),
            (png_header(50_000, 50_000), "too large"),
            (png_header(41, 1), "41 x 1 pixels, more than 40 a side"),
            (png_header(31, 31), "or 900 in all"),
            (b"GIF89a", "not an image"),
        ],
    )
    def test_beyond_its_limits_says_so(self, served: ServedModel, data: bytes, words: str) -> None:
        with pytest.raises(SourceError, match=words):
            served.prepare({"photo": data})


class TestTextInput:
    @pytest.fixture(scope="class")
    @classmethod
    def served(cls) -> ServedModel:
        expected = TextInput(
            name="text", shape=[2], dtype="float32", max_characters=20,
            preprocessing=code_of("before.py", TEXT, {"letters": "xy"}),
        )  # fmt: skip
        given = [outputs.Vector(name="counts", shape=[2])]
        return ServedModel(
            packaged(same("float32", [2]), [expected], list(given), {"text": b"xyx"}, {"before.py": TEXT})
        )

    def test_is_transformed_with_the_packaged_parameters(self, served: ServedModel) -> None:
        assert served.predict({"text": "ÄxyÖyy".encode()})["counts"].tolist() == [1, 3]
        assert served.package.samples[0].types == {"text": "text/plain"}

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "is empty"),
            (b" \n\t", "is empty"),
            (b"\xff\xfe", "not UTF-8"),
            (b"x" * 21, "21 characters, more than 20"),
            (b"x" * 10_000, "10000 bytes, more than 20 characters"),
        ],
    )
    def test_beyond_its_limits_says_so(self, served: ServedModel, data: bytes, words: str) -> None:
        with pytest.raises(SourceError, match=words):
            served.prepare({"text": data})


class TestTensorInput:
    @pytest.fixture(scope="class")
    @classmethod
    def served(cls) -> ServedModel:
        package = packaged(
            same("float32", [3]), [SCORES["x"]], [outputs.Vector(name="y", shape=[3])], {"x": array([1, 2, 3])}
        )
        return ServedModel(package)

    @pytest.mark.parametrize(
        ("kind", "data"),
        [
            ("application/json", b"[1, 2.5, 3]"),
            ("application/octet-stream", np.asarray([1, 2.5, 3], "<f4").tobytes()),
            ("application/x-npy", array([1, 2.5, 3])),
        ],
    )
    def test_is_taken_in_three_forms(self, served: ServedModel, kind: str, data: bytes) -> None:
        assert served.predict({"x": data}, {"x": kind})["y"].tolist() == [1, 2.5, 3]

    @pytest.mark.parametrize(
        ("kind", "data", "words"),
        [
            ("text/plain", b"1 2 3", "sent as text/plain"),
            ("application/json", b"[1, 2]", r"float32 \[2\], not float32 \[3\]"),
            ("application/json", b"[1, NaN, 3]", "cannot be read as application/json"),
            ("application/json", b"[1, [2], 3]", "cannot be read as application/json"),
            ("application/json", b'["1", "2", "3"]', "it holds <U1"),
            ("application/json", b"[" * 100_000, "cannot be read as application/json"),
            ("application/json", b"[1e39, 0, 0]", "no finite numbers"),
            ("application/octet-stream", b"abc", "3 bytes, not 12"),
            ("application/octet-stream", np.asarray([1, np.nan, 3], "<f4").tobytes(), "no finite numbers"),
            ("application/x-npy", array([1, 2, 3], "float64"), r"it is float64 \[3\]"),
            ("application/x-npy", array([1, np.inf, 3]), "no finite numbers"),
            ("application/x-npy", array([1, 2, 3])[:-4], "cannot be read as application/x-npy"),
            ("application/x-npy", b"PK\x03\x04", "cannot be read as application/x-npy"),
        ],
    )
    def test_that_is_wrong_says_how(self, served: ServedModel, kind: str, data: bytes, words: str) -> None:
        with pytest.raises(SourceError, match=words):
            served.prepare({"x": data}, {"x": kind})

    def test_out_of_its_type_s_range_is_not_wrapped_round(self) -> None:
        package = packaged(
            same("uint8", [1]), [TensorInput(name="x", shape=[1])],
            [outputs.Vector(name="y", shape=[1], dtype="uint8")], {"x": b"[7]"},
        )  # fmt: skip
        with pytest.raises(SourceError, match="from 256 to 256"):
            ServedModel(package).prepare({"x": b"[256]"})
        with pytest.raises(SourceError, match="it holds float64, not uint8"):
            ServedModel(package).prepare({"x": b"[0.5]"})


class TestSeveralInputs:
    @pytest.fixture(scope="class")
    @classmethod
    def package(cls) -> Package:
        return two_of_two()

    def test_are_named_by_key(self, package: Package) -> None:
        served = ServedModel(package)
        answer = served.predict({"text": b"abb", "figures": b"[10, 20]"})
        assert {name: values.tolist() for name, values in answer.items()} == {"product": [10, 40], "both": [11, 22]}
        assert list(package.samples[0].files.values()) == ["samples/00-figures.json", "samples/00-text.txt"]
        served.require_samples()

    def test_all_must_come(self, package: Package) -> None:
        with pytest.raises(SourceError, match="has the inputs text, not figures, text"):
            ServedModel(package).prepare({"text": b"a"})

    def test_are_batched_together(self, package: Package) -> None:
        batch = {"figures": np.ones((4, 2), np.float32), "text": np.full((4, 2), 3, np.float32)}
        assert ServedModel(package).infer(batch)["both"].tolist() == [[4, 4]] * 4

    def test_unknown_to_the_model_are_named(self, package: Package) -> None:
        text = package.file("airlock.json").replace(b'"left"', b'"nose"')
        with pytest.raises(UserError, match="no input 'nose', only left, words"):
            ServedModel(Package(package.files | {"airlock.json": text}))


def test_a_model_that_gives_nan_or_infinity_answers_nothing() -> None:
    model = onnx_model({"x": ("float32", [3])}, {"y": ("float32", [3])}, [("Log", ["x"], ["y"])])
    package = packaged(model, [SCORES["x"]], [outputs.Vector(name="y", shape=[3])], {"x": array([1, 2, 3])})
    served = ServedModel(package)
    for wrong in ("[-1, 1, 1]", "[0, 1, 1]"):
        with pytest.raises(ModelError, match="'y' of the model holds values that are no finite numbers"):
            served.predict({"x": wrong.encode()})


def test_a_model_of_another_engine_than_named_is_refused() -> None:
    package = packaged(
        same("float32", [3]), [SCORES["x"]], [outputs.Vector(name="y", shape=[3])], {"x": array([1, 2, 3])}
    )
    text = package.file("airlock.json").replace(b'"engine": "onnx"', b'"engine": "litert"')
    with pytest.raises(UserError, match=r"is a model for onnx, airlock\.json says litert"):
        ServedModel(Package(package.files | {"airlock.json": text}))


class TestConfiguration:
    def change(self, **fields: Any) -> bytes:
        document = {
            "name": "tiny", "use_case": "tests", "manifest": "sha256:0",
            "inputs": [{"kind": "tensor", "name": "x", "shape": [3]}],
            "outputs": [{"kind": "vector", "name": "y", "shape": [3]}],
        }  # fmt: skip
        return json.dumps(document | fields).encode()

    def test_comes_back_as_it_was_written(self) -> None:
        config = decode_config(advised().file("airlock.json"))
        assert config == advised().config
        assert [type(each).__name__ for each in config.outputs] == ["Vector", "Custom", "Contour"]

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"inputs": []}, "there are no inputs"),
            ({"inputs": [{"kind": "sound", "name": "x", "shape": [3]}]}, "sound"),
            ({"inputs": [{"kind": "tensor", "name": "x", "shape": [0]}]}, ">= 1"),
            ({"inputs": [{"kind": "tensor", "name": "../x", "shape": [3]}]}, "regex"),
            ({"outputs": [{"kind": "vector", "name": "y", "shape": [3]}] * 2}, "outputs name 'y' twice"),
            ({"outputs": [{"kind": "vector", "name": "label", "shape": [3]}]}, "a field of every answer"),
            ({"outputs": [{"kind": "custom", "name": "z"}]}, "comes from a postprocessing, and there is none"),
            ({"outputs": [{"kind": "image", "name": "z", "shape": [3, 3, 2]}]}, "2 channels, not 1 or 3"),
            ({"airlock_package": 1}, "airlock_package"),
        ],
    )
    def test_that_contradicts_itself_is_refused(self, fields: dict[str, Any], words: str) -> None:
        with pytest.raises(UserError, match=words):
            decode_config(self.change(**fields))
