"""What a use case's ``build`` may return."""

from pathlib import Path

import numpy as np
import pytest

from airlock.errors import UserError
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


@pytest.mark.parametrize(("use_case", "side"), [("digits", 8), ("fashion", 28)])
def test_the_networks_of_the_use_cases_are_accepted(use_case: str, side: int) -> None:
    assert Network(USE_CASES / use_case / "network.py", (side, side, 1), 10, {"units": 16}).build().count_params()


def test_a_stored_model_loads_and_answers_the_same(tmp_path: Path) -> None:
    model = network(tmp_path, SMALL_NETWORK).build()
    x = np.arange(128, dtype=np.uint8).reshape(2, 8, 8, 1)
    loaded = load_model(save_model(model, tmp_path / "model.keras"))
    assert np.array_equal(loaded.predict_on_batch(x), model.predict_on_batch(x))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK but no zip")
    with pytest.raises(UserError, match="cannot be loaded as a Keras model"):
        load_model(tmp_path / "model.keras")
