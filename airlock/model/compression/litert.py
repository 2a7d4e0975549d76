"""Post-training quantisation by LiteRT's own converter.

Jacob et al. (2018): Quantization and training of neural networks for efficient integer-arithmetic-only inference.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airlock.errors import UserError
from airlock.model.compression.method import Count, Export, Work

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Litert(Export, frozen=True, kw_only=True):
    """A LiteRT file; input and output keep their types."""

    engine = "litert"

    def write(self, model: Any, work: Work, path: Path) -> None:
        """Convert."""
        from tensorflow.lite.python.convert_phase import ConverterError

        target = path.with_suffix(".tflite")  # Keras insists on the name
        try:
            model.export(target, format="litert", verbose=False, **self._options(work))
        except (ValueError, RuntimeError, TypeError, ConverterError) as error:
            raise UserError(
                f"LiteRT cannot express this model: {(str(error).splitlines() or [type(error).__name__])[0]}.",
                hint="Use layers that LiteRT knows, or another compression method.",
            ) from error
        target.replace(path)

    def _options(self, work: Work) -> dict[str, Any]:
        raise NotImplementedError


class LitertFloat32(Litert, frozen=True, kw_only=True, tag_field="method", tag="litert_float32"):
    """As it is: the original that the others are compared with, and the end of a chain that only rewrites."""

    def _options(self, work: Work) -> dict[str, Any]:
        del work
        return {}


class LitertDynamic(Litert, frozen=True, kw_only=True, tag_field="method", tag="litert_dynamic"):
    """int8 weights; activations are quantised while it runs."""

    def _options(self, work: Work) -> dict[str, Any]:
        del work
        return {"optimizations": _default()}


class LitertFloat16(Litert, frozen=True, kw_only=True, tag_field="method", tag="litert_float16"):
    """Half precision weights."""

    def _options(self, work: Work) -> dict[str, Any]:
        import tensorflow as tf

        del work
        return {"optimizations": _default(), "target_spec": {"supported_types": [tf.float16]}}


class LitertInt8(Litert, frozen=True, kw_only=True, tag_field="method", tag="litert_int8"):
    """int8 weights and activations.

    :param samples: training samples that the activations' ranges are taken from.
    """

    samples: Count = 200

    def _options(self, work: Work) -> dict[str, Any]:
        import tensorflow as tf

        def representative() -> "Iterator[list[NDArray[np.generic]]]":
            for sample in calibration(work, self.samples):
                yield [sample[None]]

        return {
            "optimizations": _default(),
            "representative_dataset": representative,
            "target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]},
        }


def calibration(work: Work, count: int) -> "NDArray[Any]":
    """Return training samples ``[count, …]``, evenly spread over the split: it may be sorted by class."""
    import numpy as np

    x = work.train.x
    return np.asarray(x[np.linspace(0, len(x) - 1, min(count, len(x))).astype(np.int64)])


def _default() -> list[Any]:
    import tensorflow as tf

    return [tf.lite.Optimize.DEFAULT]
