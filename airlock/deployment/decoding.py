"""What was sent under an input's name, to what the preprocessing or the model takes."""

import io
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from airlock.deployment.images import decode_image
from airlock.deployment.inputs import AnyInput, ImageInput, TensorInput, TextInput
from airlock.errors import SourceError

JSON, RAW, NPY = "application/json", "application/octet-stream", "application/x-npy"


def decode(data: bytes, expected: AnyInput, mime_type: str = "") -> "Image.Image | str | NDArray[Any]":
    """Return an image, a text or a tensor.

    :param mime_type: what the sender says it is; by default the first that the input accepts, for an image any.
    :raises SourceError: it is not of that type, or beyond the input's limits.
    """
    if mime_type and mime_type not in expected.mime_types:
        raise SourceError(
            f"The input {expected.name!r} is sent as {mime_type}.", hint=f"Send {', '.join(expected.mime_types)}."
        )
    if isinstance(expected, ImageInput):
        return decode_image(data, expected, mime_type)
    if isinstance(expected, TextInput):
        return _text(data, expected)
    return _tensor(data, expected, mime_type or expected.mime_types[0])


def checked(tensor: NDArray[Any], expected: TensorInput) -> NDArray[Any]:
    """Return a tensor that is what the model takes.

    :raises SourceError: another dtype or shape, or a value that is no finite number.
    """
    if str(tensor.dtype) != expected.dtype or tensor.shape != expected.dimensions:
        raise SourceError(
            f"The tensor {expected.name!r} is {tensor.dtype} {list(tensor.shape)}, "
            f"not {expected.dtype} {expected.shape}.",
            hint="Send the tensor that the package's configuration names.",
        )
    if expected.dtype == "float32" and not np.isfinite(tensor).all():
        raise SourceError(
            f"The tensor {expected.name!r} holds values that are no finite numbers.", hint="Send figures."
        )
    return tensor


def _text(data: bytes, expected: TextInput) -> str:
    # A character has four bytes at most: what is far too long is not even decoded.
    if len(data) > 4 * expected.max_characters:
        raise _too_long(f"{len(data)} bytes", expected)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"The text is not UTF-8: {error}.", hint="Send text/plain in UTF-8.") from error
    if len(text) > expected.max_characters:
        raise _too_long(f"{len(text)} characters", expected)
    if not text.strip():
        raise SourceError("The text is empty.", hint="Send at least one word.")
    return text


def _too_long(found: str, expected: TextInput) -> SourceError:
    return SourceError(
        f"The text {expected.name!r} has {found}, more than {expected.max_characters} characters.", hint="Shorten it."
    )


def _tensor(data: bytes, expected: TensorInput, mime_type: str) -> NDArray[Any]:
    reader = {JSON: _from_json, RAW: _from_raw, NPY: _from_npy}[mime_type]
    try:
        return checked(reader(data, expected), expected)
    except (ValueError, OverflowError, RecursionError, EOFError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"The tensor {expected.name!r} cannot be read as {mime_type}: {error}.",
            hint=f"Send {expected.dtype} {expected.shape}.",
        ) from error


def _from_json(data: bytes, expected: TensorInput) -> NDArray[Any]:
    values = np.asarray(msgspec.json.decode(data))  # a MsgspecError is a ValueError
    if values.dtype.kind not in "iuf" or (values.dtype.kind == "f" and expected.dtype != "float32"):
        raise ValueError(f"it holds {values.dtype}, not {expected.dtype}")
    if expected.dtype == "float32":
        with np.errstate(over="ignore"):  # what overflows is infinite then, and refused as such
            return values.astype(np.float32)
    limits = np.iinfo(expected.dtype)
    if values.size and (values.min() < limits.min or values.max() > limits.max):
        raise ValueError(f"its values go from {values.min()} to {values.max()}")
    return values.astype(expected.dtype)


def _from_raw(data: bytes, expected: TensorInput) -> NDArray[Any]:
    dtype = np.dtype(expected.dtype)
    count = int(np.prod(expected.shape)) if expected.shape else 1
    if len(data) != count * dtype.itemsize:
        raise ValueError(f"it has {len(data)} bytes, not {count * dtype.itemsize}")
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(expected.dimensions)


def _from_npy(data: bytes, expected: TensorInput) -> NDArray[Any]:
    file = io.BytesIO(data)
    # The header may claim any size: only what it says is allocated, so it is read before.
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if shape != expected.dimensions or dtype != expected.dtype:
        raise ValueError(f"it is {dtype} {list(shape)}")
    found: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return found
