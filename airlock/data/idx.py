"""The IDX file format: a magic number, a shape, then the values."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from airlock.errors import SourceError

if TYPE_CHECKING:
    import numpy as np

# Two zero bytes, the code of unsigned bytes, the number of dimensions.
UNSIGNED_BYTE = 0x08
AGAIN = "Fetch the file again and compare its size with the publisher's."


def read_idx(path: Path, max_bytes: int, dimensions: int) -> "np.ndarray":
    """Read an IDX file of unsigned bytes, packed with gzip or not.

    :param max_bytes: most bytes its values may take.
    :param dimensions: 3 for images (count, height, width), 1 for labels (count,).
    :return: uint8 array of the shape the file declares.
    :raises SourceError: wrong magic number, damaged or truncated gzip, or not as many bytes as declared.
    """
    import numpy as np

    try:
        with _opened(path) as file:
            shape = _read_header(file, path, dimensions)
            values = _read_values(file, path, shape, max_bytes)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{path.name} is a damaged or truncated gzip file: {error}.", hint=AGAIN) from error
    return np.frombuffer(values, np.uint8).reshape(shape)


def _opened(path: Path) -> BinaryIO:
    # By content: some servers unpack .gz files on the way.
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast("BinaryIO", gzip.open(path)) if packed else path.open("rb")


def _read_header(file: BinaryIO, path: Path, dimensions: int) -> tuple[int, ...]:
    header = file.read(4 + 4 * dimensions)
    expected = UNSIGNED_BYTE << 8 | dimensions
    magic = int.from_bytes(header[:4], "big")
    if magic != expected or len(header) < 4 + 4 * dimensions:
        what = "images" if dimensions == 3 else "labels"
        raise SourceError(
            f"{path.name} has the magic number 0x{magic:08x}, an IDX file of {what} has 0x{expected:08x}.",
            hint="Check that it is an IDX file and that images and labels are not mixed up.",
        )
    return struct.unpack(f">{dimensions}I", header[4:])


def _read_values(file: BinaryIO, path: Path, shape: tuple[int, ...], max_bytes: int) -> bytes:
    size = math.prod(shape)
    if size > max_bytes:
        raise SourceError(
            f"{path.name} declares {size:,} bytes, above max_bytes={max_bytes:,}.",
            hint="Raise max_bytes in the source if that much is expected.",
        )
    values = file.read(size)
    if len(values) < size or file.read(1):
        found = f"only {len(values):,}" if len(values) < size else "more"
        raise SourceError(f"{path.name} declares {size:,} bytes of values and holds {found}.", hint=AGAIN)
    return values
