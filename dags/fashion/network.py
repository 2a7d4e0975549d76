"""The fashion model: two blocks of convolution and pooling and a wide layer that holds most of the weights."""

from typing import Any

import keras
from keras import layers


def build(shape: tuple[int, int, int], classes: int, parameters: dict[str, Any]) -> keras.Model:
    """Return the network, not compiled.

    :param parameters: ``filters`` of the first convolution, ``units`` of the wide layer, ``dropout``.
    """
    filters = parameters.get("filters", 32)
    dropout = parameters.get("dropout", 0.4)
    return keras.Sequential(
        [
            keras.Input(shape, dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(filters, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(2 * filters, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(dropout),
            layers.Dense(parameters.get("units", 128), activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(classes, activation="softmax"),
        ]
    )
