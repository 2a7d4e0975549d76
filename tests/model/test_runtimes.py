"""One protocol for LiteRT and ONNX files: told apart by content, several inputs by name, errors that name the rule."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airlock.errors import UserError
from airlock.model.runnable import TensorSpec
from airlock.model.runtimes import engine_of, open_model


@pytest.fixture(scope="module")
def keras_models() -> dict[str, Any]:
    """Give a model of pictures, one of texts, and one with two inputs and outputs."""
    from airlock.model.backend import load_keras

    keras = load_keras()
    layers = keras.layers
    tokens, grid = keras.Input((4,), dtype="int32", name="tokens"), keras.Input((3, 2), name="grid")
    joined = layers.Concatenate()([layers.Flatten()(layers.Embedding(10, 2)(tokens)), layers.Flatten()(grid)])
    return {
        "pictures": keras.Sequential(
            [
                keras.Input((8, 8, 1), dtype="uint8", name="picture"),
                layers.Rescaling(1 / 255),
                layers.Flatten(),
                layers.Dense(10, activation="softmax"),
            ]
        ),
        "texts": keras.Sequential([keras.Input((16,), name="words"), layers.Dense(3, activation="softmax")]),
        "two": keras.Model([tokens, grid], {"p": layers.Dense(3, name="p")(joined), "q": layers.Dense(2)(joined)}),
    }


@pytest.fixture(scope="module")
def files(keras_models: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with each of them as LiteRT and as ONNX, under names that say nothing."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("models")
    for name, model in keras_models.items():
        (folder / f"{name}_litert").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
        model.export(folder / f"{name}.onnx", format="onnx", verbose=False)
        (folder / f"{name}.onnx").rename(folder / f"{name}_onnx")
    return folder


@pytest.fixture(params=["litert", "onnx"])
def engine(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


class TestWhateverTheEngine:
    def test_pictures_are_answered_as_by_keras_in_batches_of_any_size(
        self, files: Path, keras_models: dict[str, Any], engine: str
    ) -> None:
        model = open_model(files / f"pictures_{engine}")
        assert (model.engine, model.shape, model.classes) == (engine, (8, 8, 1), 10)
        assert model.inputs == [TensorSpec("picture", "uint8", (8, 8, 1))]
        x = np.random.default_rng(0).integers(0, 255, (7, 8, 8, 1)).astype(np.uint8)
        wanted = np.asarray(keras_models["pictures"](x))
        for part in (slice(0, 1), slice(0, 7), slice(2, 4)):
            assert np.allclose(model.predict(x[part]), wanted[part], atol=1e-5)

    def test_a_text_is_one_row_of_floats(self, files: Path, engine: str) -> None:
        model = open_model(files / f"texts_{engine}")
        assert (model.inputs, model.shape, model.classes) == ([TensorSpec("words", "float32", (16,))], (16,), 3)
        assert model.predict(np.ones((2, 16), np.float32)).shape == (2, 3)

    def test_several_inputs_go_by_name(self, files: Path, keras_models: dict[str, Any], engine: str) -> None:
        model = open_model(files / f"two_{engine}")
        assert {spec.name: (spec.dtype, spec.shape) for spec in model.inputs} == {
            "tokens": ("int32", (4,)),
            "grid": ("float32", (3, 2)),
        }
        assert {spec.name: spec.shape for spec in model.outputs} == {"p": (3,), "q": (2,)}
        tokens, grid = np.arange(12, dtype=np.int32).reshape(3, 4) % 10, np.ones((3, 3, 2), np.float32)
        wanted = keras_models["two"]([tokens, grid])
        given = model.run({"grid": grid, "tokens": tokens})
        for name in ("p", "q"):
            assert np.allclose(given[name], wanted[name], atol=1e-5)

    def test_what_was_answered_stays_when_the_next_batch_is(self, files: Path, engine: str) -> None:
        model = open_model(files / f"texts_{engine}")
        first = model.predict(np.ones((1, 16), np.float32))
        kept = first.copy()
        model.predict(np.full((1, 16), -5, np.float32))
        assert np.array_equal(first, kept)

    @pytest.mark.parametrize(
        "x",
        [
            np.zeros((1, 9, 8, 1), np.uint8),
            np.zeros((1, 8, 8, 1), np.float32),
            np.zeros((0, 8, 8, 1), np.uint8),
            np.zeros((8, 8, 1), np.uint8),
            np.zeros((), np.uint8),
        ],
    )
    def test_another_dtype_or_shape_is_refused(self, files: Path, engine: str, x: Any) -> None:
        with pytest.raises(UserError, match=r"takes uint8 \[N, 8, 8, 1\]"):
            open_model(files / f"pictures_{engine}").predict(x)

    def test_inputs_that_do_not_fit_together_are_refused(self, files: Path, engine: str) -> None:
        model = open_model(files / f"two_{engine}")
        tokens, grid = np.zeros((2, 4), np.int32), np.ones((3, 3, 2), np.float32)
        with pytest.raises(UserError, match=r"takes the inputs .*, not tokens"):
            model.run({"tokens": tokens})
        with pytest.raises(UserError, match="have 2, 3 samples"):
            model.run({"tokens": tokens, "grid": grid})
        with pytest.raises(UserError, match="has 2 inputs, not one"):
            model.predict(tokens)
        with pytest.raises(UserError, match="has 2 outputs, not one"):
            _ = model.classes

    def test_a_file_that_is_cut_short_is_refused_with_its_name(self, files: Path, engine: str, tmp_path: Path) -> None:
        cut = tmp_path / "cut"
        cut.write_bytes((files / f"pictures_{engine}").read_bytes()[:600])
        with pytest.raises(UserError, match=r"cut is not an? (LiteRT|ONNX) model"):
            open_model(cut)


class TestFilesOfNoRuntime:
    @pytest.mark.parametrize("data", [b"", b"no model", b"x" * 5000, b"PK\x03\x04" * 9])
    def test_other_content_is_refused(self, data: bytes, tmp_path: Path) -> None:
        (tmp_path / "model.tflite").write_bytes(data)
        with pytest.raises(UserError, match=r"model.tflite is neither a LiteRT nor an ONNX model"):
            open_model(tmp_path / "model.tflite")

    def test_a_file_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"model.onnx cannot be read: No such file"):
            engine_of(tmp_path / "model.onnx")

    def test_an_onnx_file_with_a_fixed_batch_is_refused(self, tmp_path: Path) -> None:
        from onnx import TensorProto, helper, save

        one, other = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy")
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [one], [other])
        save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "fixed")
        with pytest.raises(UserError, match=r"'x' has the shape \[1, 4\]; only its first axis may and must be free"):
            open_model(tmp_path / "fixed")


def test_no_tensorflow_is_imported(files: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from airlock.model.runtimes import open_model\n"
        "for name in sys.argv[1:]: open_model(Path(name))\n"
        "assert not {'tensorflow', 'keras'} & sys.modules.keys()"
    )
    paths = [str(files / f"pictures_{engine}") for engine in ("litert", "onnx")]
    subprocess.run([sys.executable, "-c", code, *paths], check=True, timeout=120)
