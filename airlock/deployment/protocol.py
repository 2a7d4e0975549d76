"""The Open Inference Protocol, version 2, over JSON: one UINT8 tensor in, one FP32 tensor out.

Names, shapes and types follow the protocol, so its clients (KServe, Triton, MLServer …) can ask this server.
"""

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from airlock.deployment.config import PackageConfig
from airlock.errors import UserError

OUTPUT = "probabilities"


class InputTensor(msgspec.Struct, frozen=True, kw_only=True):
    """:param data: the values, flat or nested, row by row."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request; ``outputs`` may name the one output there is."""

    inputs: list[InputTensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[dict[str, Any]] = []


class OutputTensor(msgspec.Struct, frozen=True, kw_only=True):
    """:param data: probabilities, flat, row by row."""

    name: str = OUTPUT
    shape: list[int]
    datatype: Literal["FP32"] = "FP32"
    data: list[float]


class InferResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer; version and parameter ``manifest`` are the manifest digest that answered."""

    model_name: str
    model_version: str
    id: str = ""
    outputs: list[OutputTensor]
    parameters: dict[str, str]
    manifest: str


def decode_request(body: bytes) -> InferRequest:
    """Parse a request.

    :raises UserError: broken JSON (NaN and Infinity are not JSON), or a field is missing or of the wrong type.
    """
    try:
        return msgspec.json.decode(body, type=InferRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"The body is not an inference request: {error}.", hint="See /openapi.json.") from error


def batch_of(request: InferRequest, config: PackageConfig) -> NDArray[np.uint8]:
    """Return the batch (n, height, width, channels) of a request, after checking what it claims.

    :raises UserError: another tensor than the metadata of the model names.
    """
    expected = config.inputs[0].name
    if len(request.inputs) != 1 or request.inputs[0].name != expected:
        names = [tensor.name for tensor in request.inputs]
        raise UserError(f"The inputs are {names}, not [{expected!r}].", hint="Send exactly one input tensor.")
    if any(output.get("name") != OUTPUT for output in request.outputs):
        raise UserError(f"There is one output, {OUTPUT!r}.", hint="Leave `outputs` away.")
    tensor = request.inputs[0]
    if tensor.datatype != "UINT8":
        raise UserError(f"The datatype is {tensor.datatype!r}, not 'UINT8'.", hint="Send pixel values 0 to 255.")
    _require_shape(tensor.shape, config)
    return _values(tensor).reshape(tensor.shape)


def response(request: InferRequest, outputs: NDArray[np.float32], name: str, manifest: str) -> InferResponse:
    """Wrap the probabilities (n, classes) in an answer."""
    tensor = OutputTensor(shape=list(outputs.shape), data=outputs.ravel().tolist())
    return InferResponse(
        model_name=name,
        model_version=manifest,
        id=request.id,
        outputs=[tensor],
        parameters={"manifest": manifest},
        manifest=manifest,
    )


def metadata(config: PackageConfig, manifest: str) -> dict[str, Any]:
    """Return what the protocol says of a model."""
    return {
        "name": config.name,
        "versions": [manifest],
        "platform": config.engine,
        "inputs": [{"name": config.inputs[0].name, "datatype": "UINT8", "shape": [-1, *config.inputs[0].shape]}],
        "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(config.classes)]}],
        "classes": config.classes,
        "manifest": manifest,
    }


def _require_shape(shape: list[int], config: PackageConfig) -> None:
    limit = config.limits.batch
    if shape[1:] != config.inputs[0].shape or not 1 <= shape[0] <= limit:
        raise UserError(
            f"The shape is {shape}, not [n, {', '.join(map(str, config.inputs[0].shape))}] with n from 1 to {limit}.",
            hint="Send the tensor that the package's preprocessing makes.",
        )


def _values(tensor: InputTensor) -> NDArray[np.uint8]:
    try:
        values = np.asarray(tensor.data)
    except (ValueError, OverflowError) as error:
        raise UserError(f"The data is ragged: {error}.", hint="Send rows of equal length.") from error
    count = int(np.prod(tensor.shape))
    if values.dtype.kind not in "iu" or values.size != count:
        raise UserError(
            f"The data holds {values.size} values of kind {values.dtype}, not {count} integers.",
            hint="Send as many integers as the shape says.",
        )
    if values.min() < 0 or values.max() > 255:
        raise UserError(
            f"The values go from {values.min()} to {values.max()}, not 0 to 255.", hint="Send pixel values."
        )
    return values.astype(np.uint8).ravel()
