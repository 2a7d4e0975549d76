"""Keras on one of its backends, imported in one place: quiet, and deterministic when asked to be."""

import os
import sys
from typing import Any

from airlock.errors import UserError

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2"}


def load_keras(backend: str = "") -> Any:
    """Import Keras (some seconds) and return it. Its own progress bars are off: a step has progress lines.

    :param backend: ``tensorflow`` or ``torch``; by default the one that is in use, or else TensorFlow.
    :raises UserError: this process computes with another one.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if backend and "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    if backend and keras.backend.backend() != backend:
        raise UserError(
            f"Keras computes with {keras.backend.backend()} in this process, not with {backend}.",
            hint="Run the step in a process of its own, as its operator does.",
        )
    keras.config.disable_interactive_logging()
    return keras


def seed_everything(seed: int, deterministic: bool = True) -> None:
    """Fix every random generator, and have the backend choose deterministic operations.

    The same code, data and seed then give the same weights on the same kind of machine.

    :param deterministic: ``False`` leaves the choice of operations to the backend, as XLA on TensorFlow asks.
    """
    keras = load_keras()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    if not deterministic:
        return
    if keras.backend.backend() == "torch":
        import torch

        torch.use_deterministic_algorithms(True)
    else:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
