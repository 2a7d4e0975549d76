"""Load an ``.onnx`` model and predict with it, on the CPU.

Needs numpy and onnxruntime, no TensorFlow.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airlock.errors import UserError
from airlock.model.runnable import EXPORT_HINT, RunnableModel, TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

DTYPES = {
    "tensor(bool)": "bool",
    "tensor(double)": "float64",
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
}
QUIET = 3  # errors only


class OnnxModel(RunnableModel):
    """An ONNX Runtime session around one file.

    :param path: the ``.onnx`` file.
    :param threads: CPU threads of one prediction.
    :raises UserError: not an ONNX model that ONNX Runtime can run, or one whose first axes are no batch axes.
    """

    engine = "onnx"

    def __init__(self, path: Path, threads: int = 1) -> None:
        super().__init__(path)
        self._session = _session(path, threads)
        self.inputs = [_spec(path, each) for each in self._session.get_inputs()]
        self.outputs = [_spec(path, each) for each in self._session.get_outputs()]
        self._given = [spec.name for spec in self.outputs]

    def _run(self, inputs: "Mapping[str, NDArray[Any]]") -> "dict[str, NDArray[Any]]":
        return dict(zip(self._given, self._session.run(self._given, dict(inputs)), strict=True))


def _session(path: Path, threads: int) -> Any:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = QUIET
    refused = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (*refused, state.NoSuchFile, state.RuntimeException) as error:
        said = str(error).splitlines()[0]
        raise UserError(
            f"{path.name} is not an ONNX model that ONNX Runtime can run: {said}.", hint=EXPORT_HINT
        ) from error


def _spec(path: Path, tensor: Any) -> TensorSpec:
    shape = list(tensor.shape)
    if tensor.type not in DTYPES:
        raise UserError(f"{path.name}: the tensor {tensor.name!r} is of the type {tensor.type}.", hint=EXPORT_HINT)
    if not shape or isinstance(shape[0], int) or not all(isinstance(size, int) for size in shape[1:]):
        raise UserError(
            f"{path.name}: the tensor {tensor.name!r} has the shape {shape}; only its first axis may and must be free.",
            hint="Export the model with a free batch axis and fixed sizes for one sample.",
        )
    return TensorSpec(tensor.name, DTYPES[tensor.type], tuple(shape[1:]))
