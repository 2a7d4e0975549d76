"""A small network that uses up the memory when somebody makes a file: a training that is too big for its place."""

import threading
import time
from pathlib import Path

import keras
from keras import layers


def build(shape, classes, parameters):
    threading.Thread(target=use_up_memory, args=(Path(parameters["hog"]),), daemon=True).start()
    return keras.Sequential(
        [
            keras.Input(shape, dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(parameters["dropout"]),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def use_up_memory(wanted: Path) -> None:
    held = []
    while True:
        if wanted.exists():
            held.append(b"x" * 2**24)
        else:
            time.sleep(0.05)
