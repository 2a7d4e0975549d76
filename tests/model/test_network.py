"""What a use case's ``build`` may return."""

from pathlib import Path

import numpy as np
import pytest

from airlock.errors import UserError
from airlock.model.architecture import resolve
from airlock.model.network import Network, require_probabilities
from airlock.model.storage import load_model, save_model
from tests.model.conftest import SMALL_NETWORK, USE_CASES

HEAD = "import keras\nfrom keras import layers\ndef build(shape, classes, parameters):\n"


def network(tmp_path: Path, text: str) -> Network:
    path = tmp_path / "network.py"
    path.write_text(text)
    return Network(path, (8, 8, 1), 10, {})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    return 1", "build returned a int, not a keras.Model"),
        ("    raise KeyError('filters')", "build failed: KeyError: 'filters'"),
        (
            "    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(classes)])",
            r"input is float32 \(None, 8, 8, 1\), not uint8",
        ),
        (
            "    return keras.Sequential([keras.Input(shape, dtype='uint8'), layers.Rescaling(1.), layers.Flatten(),"
            " layers.Dense(3)])",
            r"output is float32 \(None, 3\), not float32 \(None, 10\)",
        ),
        (
            "    class Mine(layers.Flatten): pass\n"
            "    return keras.Sequential([keras.Input(shape, dtype='uint8'), layers.Rescaling(1.), Mine(name='mine'),"
            " layers.Dense(classes)])",
            "layers mine are of classes defined in the code file",
        ),
    ],
)
def test_a_model_that_could_not_be_served_is_refused(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        network(tmp_path, HEAD + body).build()


def test_outputs_that_are_no_probabilities_are_refused(tmp_path: Path) -> None:
    text = SMALL_NETWORK.replace(', activation="softmax"', "")
    with pytest.raises(UserError, match="no probabilities"):
        require_probabilities(network(tmp_path, text).build(), np.full((2, 8, 8, 1), 200, np.uint8))


@pytest.mark.parametrize(("network_file", "side"), [("digits/network.yaml", 8), ("fashion/network.py", 28)])
def test_the_networks_of_the_use_cases_are_accepted(network_file: str, side: int) -> None:
    assert Network(USE_CASES / network_file, (side, side, 1), 10, {"units": 16}).build().count_params()


class TestArchitecture:
    PATH = USE_CASES / "digits" / "network.yaml"

    def stored(self, tmp_path: Path) -> Path:
        """Write the architecture as a step fetches it: one JSON document, under a name that says nothing."""
        (tmp_path / "network.py").write_bytes(resolve(self.PATH).data)
        return tmp_path / "network.py"

    def test_the_stored_document_is_the_network_with_the_runs_parameters(self, tmp_path: Path) -> None:
        parameters = {"filters": 2, "epochs": 3, 'net["wide"].units': 7, 'net["conv*"].lr': 0.5}
        found = Network(self.stored(tmp_path), (8, 8, 1), 10, parameters)
        model = found.build()
        assert [layer.name for layer in model.layers][:3] == ["input", "scale", "conv1"]
        assert [model.get_layer(name).output.shape[-1] for name in ("conv1", "conv2", "wide")] == [2, 4, 7]
        assert found.rates == {"conv*": 0.5}

    def test_it_must_read_what_the_tensors_are(self, tmp_path: Path) -> None:
        for shape, dtype in (((8, 8, 3), "uint8"), ((8, 8, 1), "float32")):
            with pytest.raises(UserError, match=r"reads uint8 \[8, 8, 1\], and the tensors are " + dtype):
                Network(self.stored(tmp_path), shape, 10, {}, dtype)

    def test_what_is_wrong_is_said_when_it_is_built(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="conv1: filters is -1"):
            Network(self.stored(tmp_path), (8, 8, 1), 10, {"filters": -1}).build()

    def test_it_stores_and_loads_without_the_document(self, tmp_path: Path) -> None:
        model = Network(self.stored(tmp_path), (8, 8, 1), 10, {}).build()
        x = np.arange(128, dtype=np.uint8).reshape(2, 8, 8, 1)
        loaded = load_model(save_model(model, tmp_path / "model.keras"))
        assert np.array_equal(loaded.predict_on_batch(x), model.predict_on_batch(x))


def test_code_takes_no_overrides_of_layers_but_factors_on_their_learning_rate(tmp_path: Path) -> None:
    path = tmp_path / "network.py"
    path.write_text(SMALL_NETWORK)
    assert Network(path, (8, 8, 1), 10, {'net["dense*"].lr': 0.1}).rates == {"dense*": 0.1}
    with pytest.raises(UserError, match=r'net\["dense"\]\.units changes layers, and this network is code'):
        Network(path, (8, 8, 1), 10, {'net["dense"].units': 3})


def test_code_may_read_other_tensors_than_pictures(tmp_path: Path) -> None:
    path = tmp_path / "network.py"
    path.write_text(
        HEAD + "    i = keras.Input(shape, dtype='int32'); x = layers.Embedding(9, 2)(i)\n"
        "    return keras.Model(i, layers.Dense(classes)(layers.Flatten()(x)))\n"
    )
    assert Network(path, (5,), 3, {}, "int32").build().output_shape == (None, 3)


def test_a_stored_model_loads_and_answers_the_same(tmp_path: Path) -> None:
    model = network(tmp_path, SMALL_NETWORK).build()
    x = np.arange(128, dtype=np.uint8).reshape(2, 8, 8, 1)
    loaded = load_model(save_model(model, tmp_path / "model.keras"))
    assert np.array_equal(loaded.predict_on_batch(x), model.predict_on_batch(x))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK but no zip")
    with pytest.raises(UserError, match="cannot be loaded as a Keras model"):
        load_model(tmp_path / "model.keras")
