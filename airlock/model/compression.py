"""Writes a Keras model as a LiteRT file: as it is, or smaller. :mod:`airlock.model.litert` says what the file takes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from airlock.model.backend import load_keras

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Method = Literal["litert_dynamic", "litert_float16", "litert_int8"]
REPRESENTATIVE_SAMPLES = 200


def export_float(model: Any) -> bytes:
    """Return the model with its float32 weights: the original that a compressed one is compared with."""
    return _convert(_converter(model))


def export_compressed(model: Any, method: Method, x: "NDArray[np.uint8]") -> bytes:
    """Return a smaller model.

    :param method: ``litert_dynamic``: int8 weights, activations quantised while it runs; ``litert_float16``: half
        precision weights; ``litert_int8``: int8 weights and activations, their ranges taken from samples.
    :param x: training samples, ``uint8 [N, height, width, channels]``; ``litert_int8`` reads the first 200.
    """
    import tensorflow as tf

    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if method == "litert_float16":
        converter.target_spec.supported_types = [tf.float16]
    elif method == "litert_int8":
        converter.representative_dataset = lambda: _representative(x)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return _convert(converter)


def _converter(model: Any) -> Any:
    load_keras()
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(model)


def _convert(converter: Any) -> bytes:
    from airlock.errors import UserError

    try:
        return bytes(converter.convert())
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"LiteRT cannot express this model: {str(error).splitlines()[0]}.",
            hint="Use layers that LiteRT knows, or another compression method.",
        ) from error


def _representative(x: "NDArray[np.uint8]") -> Iterator[list["NDArray[np.uint8]"]]:
    for sample in x[:REPRESENTATIVE_SAMPLES]:
        yield [sample[None]]
