"""ONNX files: as they are, or quantised statically by ONNX Runtime's own quantiser."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airlock.errors import UserError
from airlock.model.compression.litert import calibration
from airlock.model.compression.method import Count, Export, Work

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class OnnxFloat32(Export, frozen=True, kw_only=True, tag_field="method", tag="onnx_float32"):
    """As it is, for ONNX Runtime."""

    engine = "onnx"

    def write(self, model: Any, work: Work, path: Path) -> None:
        """Convert with tf2onnx."""
        model(work.train.x[:1], training=False)  # a model that was never called has no graph to export
        target = path.with_suffix(".onnx")
        try:
            model.export(target, format="onnx", verbose=False)
        except (ValueError, RuntimeError, TypeError, KeyError) as error:
            raise UserError(
                f"ONNX cannot express this model: {(str(error).splitlines() or [type(error).__name__])[0]}.",
                hint="Use layers that tf2onnx knows, or a method for LiteRT.",
            ) from error
        target.replace(path)


class OnnxInt8Static(Export, frozen=True, kw_only=True, tag_field="method", tag="onnx_int8_static"):
    """int8 weights per channel and uint8 activations, between QuantizeLinear and DequantizeLinear nodes.

    :param samples: training samples that the activations' ranges are taken from.
    """

    engine = "onnx"
    samples: Count = 200

    def write(self, model: Any, work: Work, path: Path) -> None:
        """Convert, then quantise."""
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        plain, prepared = (path.with_suffix(f".{name}.onnx") for name in ("plain", "prepared"))
        OnnxFloat32().write(model, work, plain)
        # Symbolic shapes need sympy, and only matter to transformers.
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            path,
            _reader(plain, calibration(work, self.samples)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def _reader(model: Path, x: "NDArray[Any]") -> Any:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader

    name = onnx.load(model).graph.input[0].name

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._samples: Iterator[NDArray[np.generic]] = iter(x)

        def get_next(self) -> "dict[str, NDArray[np.generic]] | None":
            sample = next(self._samples, None)
            return None if sample is None else {name: sample[None]}

    return Reader()
