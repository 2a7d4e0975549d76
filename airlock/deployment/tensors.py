"""Tensors of the Open Inference Protocol, version 2: JSON values or raw bytes to NumPy arrays and back, strictly.

Datatypes and their binary form (little-endian, row by row; ``BYTES``: each value after its length in four bytes) are
those of the protocol's tensor data representation and of its binary tensor data extension.
"""

import struct
from array import array
from itertools import chain
from math import prod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from airlock.errors import UserError

# Datatype to NumPy's name and the code of Python's ``array``, which takes neither words nor fractions for integers,
# nor values out of range, and is several times faster than NumPy on lists.
DATATYPES = {
    "BOOL": ("bool", "b"),
    "UINT8": ("uint8", "B"),
    "UINT16": ("uint16", "H"),
    "UINT32": ("uint32", "I"),
    "UINT64": ("uint64", "Q"),
    "INT8": ("int8", "b"),
    "INT16": ("int16", "h"),
    "INT32": ("int32", "i"),
    "INT64": ("int64", "q"),
    "FP16": ("float16", "f"),
    "FP32": ("float32", "f"),
    "FP64": ("float64", "d"),
}
BYTES = "BYTES"
HALF_RANGE = 65504.0  # largest finite FP16


class TensorSpec(msgspec.Struct, frozen=True):
    """What a model takes or gives under a name.

    :param shape: of one row; -1 where any size goes.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


def datatype_of(dtype: "np.dtype[Any]") -> str:
    """Return the protocol's name of a NumPy type."""
    return next((name for name, (numpy, _) in DATATYPES.items() if numpy == dtype.name), BYTES)


def from_values(values: list[Any], datatype: str, shape: list[int]) -> NDArray[Any]:
    """Return the array of a tensor's JSON values, flat or nested.

    :raises UserError: ragged rows, or values that are not of the datatype, or not as many as the shape says.
    """
    flat = _flat(values) if values and isinstance(values[0], list) else values
    count = prod(shape)
    if len(flat) != count:
        raise UserError(f"The data holds {len(flat)} values, the shape {shape} {count}.", hint="Send as many values.")
    if datatype == BYTES:
        return _words(flat).reshape(shape)
    numpy, code = DATATYPES[datatype]
    try:
        raw = bytes(flat) if code == "B" else array(code, flat)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"The data is not {datatype}: {error}.", hint="Send values of the stated datatype.") from error
    if datatype == "BOOL":
        if set(flat) - {False, True}:
            raise UserError("The data is not BOOL: it holds more than false and true.", hint="Send booleans.")
        return np.frombuffer(raw, np.int8).astype(np.bool_).reshape(shape)
    if datatype == "FP16":
        return finite(np.frombuffer(raw, np.float32), HALF_RANGE).astype(np.float16).reshape(shape)
    return finite(np.frombuffer(raw, numpy)).reshape(shape)


def from_bytes(raw: memoryview, datatype: str, shape: list[int]) -> NDArray[Any]:
    """Return the array of a tensor's binary form.

    :raises UserError: another number of bytes than datatype and shape need, or values that are no numbers.
    """
    count = prod(shape)
    if datatype == BYTES:
        return _split(raw, count).reshape(shape)
    dtype = np.dtype(DATATYPES[datatype][0])
    if len(raw) != count * dtype.itemsize:
        raise UserError(
            f"The binary data has {len(raw)} bytes, {datatype} of shape {shape} {count * dtype.itemsize}.",
            hint="State its real size in binary_data_size.",
        )
    values: NDArray[Any] = np.frombuffer(raw, dtype).reshape(shape)
    if datatype == "BOOL" and (values.view(np.uint8) > 1).any():
        raise UserError("The binary data is not BOOL: it holds more than 0 and 1.", hint="Send booleans.")
    return finite(values)


def to_bytes(values: NDArray[Any]) -> bytes:
    """Return the binary form of an array."""
    if values.dtype != object:
        return values.tobytes()
    return b"".join(struct.pack("<I", len(word)) + word for word in map(_encoded, values.ravel()))


def to_values(values: NDArray[Any]) -> list[Any]:
    """Return an array's values for JSON, flat."""
    flat: list[Any] = values.ravel().tolist()
    return [_encoded(word).decode(errors="replace") for word in flat] if values.dtype == object else flat


def finite(values: NDArray[Any], limit: float | None = None) -> NDArray[Any]:
    """Return the array if all of it is numbers.

    :raises UserError: NaN or infinity.
    """
    if values.dtype.kind == "f":
        good = np.isfinite(values) if limit is None else np.abs(values) <= limit
        if not good.all():
            raise UserError("The data holds NaN, infinity or a number out of range.", hint="Send finite numbers.")
    return values


def _flat(values: list[Any]) -> list[Any]:
    while values and isinstance(values[0], list):
        lengths = {len(row) if isinstance(row, list) else -1 for row in values}
        if len(lengths) > 1:
            raise UserError("The data is ragged.", hint="Send rows of equal length.")
        values = list(chain.from_iterable(values))
    return values


def _words(values: list[Any]) -> NDArray[Any]:
    if not all(isinstance(value, str) for value in values):
        raise UserError("The data is not BYTES: it holds more than texts.", hint="Send texts.")
    words = np.empty(len(values), object)
    words[:] = [value.encode() for value in values]
    return words


def _split(raw: memoryview, count: int) -> NDArray[Any]:
    words: list[bytes] = []
    at = 0
    while len(words) < count and at + 4 <= len(raw):
        (size,) = struct.unpack_from("<I", raw, at)
        words.append(bytes(raw[at + 4 : at + 4 + size]))
        at += 4 + size
    if len(words) != count or at != len(raw):
        raise UserError(
            f"The binary data does not hold {count} values of type BYTES.", hint="Put each value's length before it."
        )
    found = np.empty(count, object)
    found[:] = words
    return found


def _encoded(word: Any) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()
