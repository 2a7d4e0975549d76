"""Each method on one tiny trained model: what it takes away, that it still answers, and what it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airlock.errors import UserError
from airlock.model.backend import load_keras, seed_everything
from airlock.model.compression.chains import NAMES, decode_chains, plain
from airlock.model.compression.graph import functional
from airlock.model.compression.method import Work
from airlock.model.compression.probe import probe
from airlock.model.compression.structured import slimmed
from airlock.model.compression.workshop import Workshop
from airlock.model.runtimes import open_model
from airlock.model.tensors import Split
from airlock.references import Artifact

Make = Callable[..., Path]
STUDENT = """
import keras
from keras import layers

def build(shape, classes, parameters):
    return keras.Sequential([
        keras.Input(shape, dtype="uint8"), layers.Rescaling(1 / 255), layers.Flatten(),
        layers.Dense(parameters["units"], activation="relu"), layers.Dense(classes, activation="softmax"),
    ])
"""


@pytest.fixture(scope="module")
def trained(few_digits: dict[str, Split]) -> Any:
    keras = load_keras()
    layers = keras.layers
    seed_everything(3)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, padding="same", name="first"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(32, activation="relu", name="wide"),
            layers.Dropout(0.1),
            layers.Dense(10, activation="softmax", name="answer"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    model.fit(few_digits["train"].x, few_digits["train"].y, epochs=15, batch_size=32, verbose=0)
    return model


@pytest.fixture(scope="module")
def original(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "model"
    trained.export(path.with_suffix(".tflite"), format="litert", verbose=False)
    return path.with_suffix(".tflite")


@pytest.fixture
def work(few_digits: dict[str, Split], tmp_path: Path) -> Work:
    def fetch(artifact: Artifact) -> Path:
        (tmp_path / "student.py").write_text(STUDENT)
        return tmp_path / "student.py"

    return Work(few_digits["train"], few_digits["validation"], 10, 7, fetch, lambda *_: None)


@pytest.fixture
def make(trained: Any, work: Work, tmp_path: Path) -> Make:
    """Give ``make(declared, model=…)``, which returns the file."""

    def call(declared: Any, model: Any = trained) -> Path:
        (chain,) = decode_chains([declared])
        path = tmp_path / "made"
        Workshop(model, work).make(chain, path)
        return path

    return call


def accuracy(path: Path, split: Split) -> float:
    return float((open_model(path).predict(np.asarray(split.x)).argmax(axis=1) == split.y).mean())


# Long enough that the order of the samples does not matter: after 6 epochs it decides between 0.45 and 0.9.
STRONG = {"epochs": 24, "batch_size": 16, "learning_rate": 0.002}
CASES = [
    ("litert_float32", "litert", 1.0, 0.0),
    ("litert_dynamic", "litert", 0.6, 0.03),
    ("litert_float16", "litert", 0.75, 0.02),
    ("litert_int8", "litert", 0.75, 0.05),
    ("onnx_float32", "onnx", 1.2, 0.0),
    ("onnx_int8_static", "onnx", 0.8, 0.06),
    ([{"method": "structured_pruning", **STRONG}], "litert", 0.45, 0.1),
    ([{"method": "structured_pruning", **STRONG}, "litert_int8"], "litert", 0.35, 0.1),
    ({"method": "low_rank", **STRONG}, "litert", 0.9, 0.1),
    (
        {"method": "distillation", "keep": 0.5, "epochs": 40, "batch_size": 16, "learning_rate": 0.005},
        "litert",
        0.45,
        0.1,
    ),
]


class TestMethods:
    @pytest.mark.parametrize(("declared", "engine", "size", "lost"), CASES, ids=lambda value: str(value)[:40])
    def test_a_file_is_smaller_and_answers_nearly_as_well(
        self,
        make: Make,
        original: Path,
        few_digits: dict[str, Split],
        declared: Any,
        engine: str,
        size: float,
        lost: float,
    ) -> None:
        before = accuracy(original, few_digits["test"])
        assert before > 0.85, "the original is worth compressing"
        path = make(declared)
        assert open_model(path).engine == engine
        assert path.stat().st_size <= size * original.stat().st_size
        assert accuracy(path, few_digits["test"]) >= before - lost

    def test_magnitude_pruning_leaves_the_share_and_packs_better(
        self, trained: Any, original: Path, work: Work, few_digits: dict[str, Split], tmp_path: Path
    ) -> None:
        (chain,) = decode_chains([{"method": "magnitude_pruning", "sparsity": 0.75, **STRONG}])
        pruned = chain.rewrites[0].apply(trained, work)
        chain.export.write(pruned, work, tmp_path / "pruned")
        for layer in ("first", "wide", "answer"):
            kernel = pruned.get_layer(layer).get_weights()[0]
            assert (kernel == 0).mean() == pytest.approx(0.75, abs=0.01), layer
            assert (trained.get_layer(layer).get_weights()[0] == 0).mean() < 0.01, "the original stays as it is"
        x = {"test": few_digits["test"].x}
        before, after = probe(original, x, "test"), probe(tmp_path / "pruned", x, "test")
        assert after.bytes == pytest.approx(before.bytes, rel=0.02)
        assert after.gzip_bytes < 0.6 * before.gzip_bytes

    def test_a_student_of_its_own_architecture(self, make: Make, few_digits: dict[str, Split]) -> None:
        student = {"ref": "artifact", "digest": f"sha256:{'0' * 64}", "size": 1}
        given = {"method": "distillation", "architecture": student, "parameters": {"units": 12}}
        path = make(given | {"epochs": 60, "learning_rate": 0.01})
        assert accuracy(path, few_digits["test"]) > 0.7

    def test_the_same_seed_gives_the_same_file(self, make: Make) -> None:
        declared = [{"method": "structured_pruning", "epochs": 2}, "litert_dynamic"]
        assert make(declared).read_bytes() == make(declared).read_bytes()

    def test_a_retraining_that_diverges_is_refused(self, make: Make) -> None:
        with pytest.raises(UserError, match="Lower its learning_rate"):
            make({"method": "structured_pruning", "epochs": 3, "learning_rate": 1e30})


class TestGraphs:
    def test_what_is_left_computes_what_it_did_where_the_rest_was_zero(self) -> None:
        """Channels with zero weights are the ones that go, through every kind of layer that passes them on."""
        keras = load_keras()
        layers = keras.layers
        keras.utils.set_random_seed(1)
        inputs = keras.Input((8, 8, 3))
        one = layers.Conv2D(8, 3, activation="relu", name="one")(inputs)
        two = layers.SeparableConv2D(6, 3, name="two")(layers.BatchNormalization()(one))
        three = layers.DepthwiseConv2D(3, depth_multiplier=2, name="three")(one)
        both = layers.Concatenate()([two, layers.ReLU()(three)])
        added = layers.Add()([layers.Dense(5, name="left")(both), layers.Dense(5, name="right")(both)])
        flat = layers.Flatten()(layers.AveragePooling2D(2)(layers.Concatenate()([added, both])))
        model = keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Dense(7, name="four")(flat)))
        for name, weight in (("one", 0), ("two", 1), ("four", 0)):
            layer = model.get_layer(name)
            values = layer.get_weights()
            values[weight][..., 1::2] = 0
            layer.set_weights(values)
        small = slimmed(model, 0.5)
        x = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype(np.float32)
        assert np.allclose(small(x), model(x), atol=1e-5)
        sizes = {name: small.get_layer(name).output.shape[-1] for name in ("one", "two", "three", "left", "four")}
        assert sizes == {"one": 4, "two": 3, "three": 8, "left": 5, "four": 4}

    def test_a_model_without_anything_to_take_away_is_refused(self, make: Make) -> None:
        keras = load_keras()
        only = keras.Sequential([keras.Input((8,)), keras.layers.Dense(10, activation="softmax")])
        with pytest.raises(UserError, match="No layer of the model can lose filters or units"):
            slimmed(only, 0.5)
        with pytest.raises(UserError, match="No Dense or Conv2D layer"):
            make({"method": "low_rank", "rank": 0.9}, only)

    def test_a_nested_or_shared_part_stays_whole(self) -> None:
        keras = load_keras()
        layers = keras.layers
        inner = keras.Sequential([keras.Input((6,)), layers.Dense(6)])
        shared = layers.Dense(6, name="shared")
        inputs = keras.Input((6,))
        lone = layers.Dense(6, name="lone")(inner(shared(shared(inputs))))
        model = keras.Model(inputs, layers.Dense(3)(lone))
        small = slimmed(model, 0.5)
        assert small.get_layer("shared").units == 6
        assert small.get_layer("lone").units == 3
        assert small(np.ones((2, 6), np.float32)).shape == (2, 3)

    def test_a_model_that_is_no_graph_is_refused(self) -> None:
        keras = load_keras()

        class Own(keras.Model):  # type: ignore[misc]
            def call(self, x: Any) -> Any:
                return x

        with pytest.raises(UserError, match="not a graph of layers"):
            functional(Own())


class TestDeclared:
    def test_plain_data_comes_back_as_it_was(self) -> None:
        declared = ["litert_int8", [{"method": "structured_pruning", "keep": 0.25}, "onnx_float32"]]
        chains = decode_chains(declared)
        assert [str(chain) for chain in chains] == ["litert_int8", "structured_pruning(keep=0.25) + onnx_float32"]
        assert decode_chains([plain(chain) for chain in chains]) == chains
        assert len(NAMES) == 10

    @pytest.mark.parametrize(
        ("declared", "said"),
        [
            ([], "not a list of ways"),
            ("litert_int8", "not a list of ways"),
            (["litert_int3"], r"'litert_int3' is not valid.*Methods: distillation, "),
            ([{"method": "structured_pruning", "keep": 1.5}], r"`float` < 1.0 - at `\$.keep`"),
            ([{"method": "structured_pruning", "keep": float("nan")}], "not valid"),
            ([{"method": "magnitude_pruning", "sparsity": 0}], r"\$.sparsity"),
            ([{"method": "low_rank", "rnak": 0.5}], "unknown field `rnak`"),
            ([{"method": "litert_int8", "samples": 0}], r"\$.samples"),
            ([["litert_int8", "structured_pruning"]], "litert_int8 writes a file, so that structured_pruning cannot"),
            ([["litert_int8", "onnx_float32"]], "cannot follow it"),
            ([[]], "A chain of methods is empty"),
            (["litert_int8", ["litert_int8"]], "litert_int8 is there twice"),
            ([3], "not valid"),
        ],
    )
    def test_what_is_wrong_is_named(self, declared: Any, said: str) -> None:
        with pytest.raises(UserError, match=said):
            decode_chains(declared)

    def test_a_students_path_is_for_the_operator(self, make: Make) -> None:
        with pytest.raises(UserError, match="only the operator can read"):
            make({"method": "distillation", "architecture": "student.yaml"})


class TestProbe:
    def test_answers_that_are_not_numbers_are_refused(self, tmp_path: Path, few_digits: dict[str, Split]) -> None:
        keras = load_keras()
        model = keras.Sequential([keras.Input((8, 8, 1), dtype="uint8"), keras.layers.Flatten(), keras.layers.Dense(2)])
        model.set_weights([np.full((64, 2), np.nan, np.float32), np.zeros(2, np.float32)])
        model.export(tmp_path / "nan.tflite", format="litert", verbose=False)
        with pytest.raises(UserError, match="of its answers to the test samples are not numbers"):
            probe(tmp_path / "nan.tflite", {"test": few_digits["test"].x}, "test")

    def test_a_file_that_its_runtime_refuses_is_named(self, tmp_path: Path, few_digits: dict[str, Split]) -> None:
        (tmp_path / "broken").write_bytes(b"xxxxTFL3" * 50)
        with pytest.raises(UserError, match="Its runtime ended with status"):
            probe(tmp_path / "broken", {"test": few_digits["test"].x}, "test")
