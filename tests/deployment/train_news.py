"""Train the news network on PyTorch for a moment, or export what was trained: ``python train_news.py STAGE FOLDER``.

Each stage is a process of its own, because Keras computes with one backend in each.
"""

import sys
from pathlib import Path

import numpy as np

from airlock.model.architecture import resolve
from airlock.model.backend import load_keras
from airlock.model.network import Network

NEWS = Path(__file__).parents[2] / "dags" / "news"


def train(folder: Path) -> None:
    """Write ``model.keras`` and ``x.npy`` answers ``y.npy``."""
    keras = load_keras("torch")
    keras.utils.set_random_seed(7)
    from airlock.model.storage import save_model

    (folder / "network.json").write_bytes(resolve(NEWS / "network.yaml").data)
    x, labels = np.load(folder / "x.npy"), np.load(folder / "labels.npy")
    model = Network(folder / "network.json", x.shape[1:], 5, {}, "uint8").build()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, labels, epochs=60, verbose=0)
    save_model(model, folder / "model.keras")
    np.save(folder / "y.npy", model.predict(x, verbose=0))


def export(folder: Path) -> None:
    """Write ``original.tflite`` and ``small.tflite`` of ``model.keras``, under TensorFlow."""
    load_keras("tensorflow")
    import tensorflow as tf

    from airlock.model.storage import load_model

    model = load_model(folder / "model.keras")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    (folder / "original.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / "small.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    {"train": train, "export": export}[sys.argv[1]](Path(sys.argv[2]))
