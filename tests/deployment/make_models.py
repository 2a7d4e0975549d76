"""Write tiny LiteRT models that tell which half of an 8 x 8 picture is bright: ``python make_models.py FOLDER``.

Run as a process of its own, so that the test session never holds TensorFlow.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf


def weights(sharpness: float, seen: int) -> np.ndarray:
    """Return (64, 3): left, right, top half, of which the model sees the first so many."""
    halves = np.zeros((3, 8, 8), np.float32)
    halves[0, :, :4] = halves[1, :, 4:] = halves[2, :4] = sharpness
    halves[seen:] = 0
    return halves.reshape(3, 64).T


def convert(sharpness: float, seen: int = 3, brittle: bool = False) -> bytes:
    """Return the model: uint8 [n, 8, 8, 1] in, float32 [n, 3] out; a brittle one divides a dark picture by zero."""
    module = tf.Module()
    module.weights = tf.Variable(weights(sharpness, seen))

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1], tf.uint8, name="image")])
    def probabilities(image):
        flat = tf.reshape(tf.cast(image, tf.float32) / 255.0, [-1, 64])
        if brittle:
            flat = flat / tf.reduce_sum(flat, axis=1, keepdims=True)
        return tf.nn.softmax(tf.matmul(flat, module.weights))

    concrete = probabilities.get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, made in {"soft": (0.1,), "sharp": (0.3,), "stuck": (0.3, 1)}.items():
        (folder / f"{name}.tflite").write_bytes(convert(*made))
    (folder / "brittle.tflite").write_bytes(convert(10.0, brittle=True))
