"""The Open Inference Protocol, version 2, over REST: JSON, and its binary tensor data extension.

Names, shapes and types follow the protocol, so its clients (KServe, Triton, MLServer …) can ask this server. With the
extension a body is the JSON, as long as the header ``Inference-Header-Content-Length`` says, and behind it the bytes
of the tensors whose ``binary_data_size`` says how many, in their order.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from numpy.typing import NDArray

from airlock.deployment import tensors
from airlock.deployment.tensors import TensorSpec, datatype_of
from airlock.errors import UserError

HEADER_LENGTH = "Inference-Header-Content-Length"
EXTENSIONS = ["binary_tensor_data", "model_versions"]
MOST_DIGITS = 12

Tensors = dict[str, NDArray[Any]]


class InputTensor(msgspec.Struct, frozen=True, kw_only=True):
    """:param data: the values, flat or nested, row by row; away when they come as bytes behind the JSON."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class AskedOutput(msgspec.Struct, frozen=True, kw_only=True):
    """:param parameters: ``binary_data``: whether it is to come as bytes."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request.

    :param outputs: those that are wanted; all when there is none.
    :param parameters: ``binary_data_output``: whether outputs come as bytes unless one says otherwise.
    """

    inputs: list[InputTensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[AskedOutput] = []


class OutputTensor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """:param data: flat, row by row; away when the values are bytes behind the JSON."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, int] = {}


class InferResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer; version and parameter ``manifest`` are the manifest digest that answered.

    :param parameters: also ``prediction``, the id that feedback names; rows of a batch are ``<id>.0``, ``<id>.1`` …
    """

    model_name: str
    model_version: str
    id: str = ""
    outputs: list[OutputTensor]
    parameters: dict[str, str]
    manifest: str


class Encoded(msgspec.Struct, frozen=True):
    """An answer's bytes.

    :param header_length: of the JSON, when there are binary tensors behind it.
    """

    body: bytes
    header_length: int | None = None


_DECODER = msgspec.json.Decoder(InferRequest)
_ENCODER = msgspec.json.Encoder()


def decode_request(body: bytes, header_length: str | None = None) -> tuple[InferRequest, memoryview]:
    """Parse a request; return it and the bytes behind it.

    :param header_length: value of ``Inference-Header-Content-Length``.
    :raises UserError: broken JSON (NaN and Infinity are not JSON), a field is missing or of the wrong type, or a
        header that lies.
    """
    whole = memoryview(body)
    length = len(body) if header_length is None else _length(header_length, len(body))
    try:
        return _DECODER.decode(whole[:length]), whole[length:]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"The body is not an inference request: {error}.", hint="See /openapi.json.") from error


def batch_of(request: InferRequest, rest: memoryview, specs: Sequence[TensorSpec], limit: int) -> Tensors:
    """Return the arrays of a request by name, each with the batch as its first dimension.

    :param rest: the bytes behind the JSON.
    :param limit: rows that a batch may have.
    :raises UserError: other tensors than the metadata of the model names.
    """
    wanted = {spec.name: spec for spec in specs}
    names = [tensor.name for tensor in request.inputs]
    if len(names) != len(wanted) or set(names) != wanted.keys():
        raise UserError(f"The inputs are {names}, not {list(wanted)}.", hint="Send each input tensor once.")
    batch: Tensors = {}
    for tensor in request.inputs:
        _require(tensor, wanted[tensor.name], limit)
        batch[tensor.name], rest = _array(tensor, rest)
    if len(rest):
        raise UserError(f"{len(rest)} bytes behind the JSON belong to no input.", hint="State every binary_data_size.")
    if len({len(array) for array in batch.values()}) != 1:
        raise UserError("The inputs have different numbers of rows.", hint="Send one row of each per sample.")
    return batch


def selected(request: InferRequest, names: Sequence[str]) -> dict[str, bool]:
    """Return the outputs that a request wants, and of each whether it wants bytes.

    :param names: of the outputs there are.
    :raises UserError: it wants others, or one twice.
    """
    default = request.parameters.get("binary_data_output") is True
    if not request.outputs:
        return dict.fromkeys(names, default)
    wanted = {output.name: output.parameters.get("binary_data", default) is True for output in request.outputs}
    if len(wanted) != len(request.outputs) or not wanted.keys() <= set(names):
        raise UserError(
            f"The outputs wanted are {[output.name for output in request.outputs]}, there are {list(names)}.",
            hint="Name each once, or leave `outputs` away.",
        )
    return wanted


def encode_response(request: InferRequest, outputs: Tensors, wanted: dict[str, bool], model: str, manifest: str,
                    prediction: str = "") -> Encoded:  # fmt: skip
    """Return the answer's bytes."""
    described, binary = [], []
    for name, as_bytes in wanted.items():
        values = outputs[name]
        shape, datatype = list(values.shape), datatype_of(values.dtype)
        if as_bytes:
            binary.append(tensors.to_bytes(values))
            size = {"binary_data_size": len(binary[-1])}
            described.append(OutputTensor(name=name, shape=shape, datatype=datatype, parameters=size))
        else:
            data = tensors.to_values(values)
            described.append(OutputTensor(name=name, shape=shape, datatype=datatype, data=data))
    header = _ENCODER.encode(
        InferResponse(
            model_name=model,
            model_version=manifest,
            id=request.id,
            outputs=described,
            parameters={"manifest": manifest, "prediction": prediction} if prediction else {"manifest": manifest},
            manifest=manifest,
        )
    )
    return Encoded(b"".join([header, *binary]), len(header)) if binary else Encoded(header)


def metadata(name: str, platform: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec],
             manifest: str) -> dict[str, Any]:  # fmt: skip
    """Return what the protocol says of a model."""
    return {
        "name": name,
        "versions": [manifest],
        "platform": platform,
        "inputs": [_described(spec) for spec in inputs],
        "outputs": [_described(spec) for spec in outputs],
    }


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": [-1, *spec.shape]}


def _length(header: str, size: int) -> int:
    if not (header.isascii() and header.isdigit() and len(header) <= MOST_DIGITS and 0 < int(header) <= size):
        raise UserError(
            f"{HEADER_LENGTH} is {header[:40]!r}, the body has {size} bytes.",
            hint="State how many bytes of the body are JSON.",
        )
    return int(header)


def _require(tensor: InputTensor, spec: TensorSpec, limit: int) -> None:
    if tensor.datatype != spec.datatype:
        raise UserError(
            f"The datatype of {spec.name!r} is {tensor.datatype!r}, not {spec.datatype!r}.",
            hint="Send the tensor that the package's preprocessing makes.",
        )
    shape = tensor.shape
    fits = len(shape) == len(spec.shape) + 1 and 1 <= shape[0] <= limit
    if not fits or any(size < 1 or want not in (size, -1) for size, want in zip(shape[1:], spec.shape, strict=True)):
        raise UserError(
            f"The shape of {spec.name!r} is {shape}, not [n, {', '.join(map(str, spec.shape))}] "
            f"with n from 1 to {limit}.",
            hint="Send the tensor that the package's preprocessing makes.",
        )


def _array(tensor: InputTensor, rest: memoryview) -> tuple[NDArray[Any], memoryview]:
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        if tensor.data is None:
            raise UserError(f"{tensor.name!r} has no data.", hint="Send `data`, or bytes and binary_data_size.")
        return tensors.from_values(tensor.data, tensor.datatype, tensor.shape), rest
    if tensor.data is not None:
        raise UserError(f"{tensor.name!r} has both data and binary_data_size.", hint="Send one of them.")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest):
        raise UserError(
            f"binary_data_size of {tensor.name!r} is {str(size)[:40]}, {len(rest)} bytes are left.",
            hint="State how many bytes the tensor has.",
        )
    return tensors.from_bytes(rest[:size], tensor.datatype, tensor.shape), rest[size:]


def row_count(batch: Tensors) -> int:
    """Return how many rows a batch has."""
    return len(next(iter(batch.values())))
