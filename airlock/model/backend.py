"""Keras on TensorFlow, imported in one place: quiet, and deterministic when asked to be."""

import os
from typing import Any

QUIET = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}


def load_keras() -> Any:
    """Import Keras (some seconds) and return it. Its own progress bars are off: a step has progress lines."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import keras

    keras.config.disable_interactive_logging()
    return keras


def seed_everything(seed: int) -> None:
    """Fix every random generator, and have TensorFlow choose deterministic operations.

    The same code, data and seed then give the same weights on the same kind of machine.
    """
    keras = load_keras()
    import tensorflow as tf

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
