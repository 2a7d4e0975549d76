"""Images: arrays to PNG, and what a cleaned image is known by."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from airlock.errors import SourceError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

PNG = b"\x89PNG\r\n\x1a\n"


class Picture(msgspec.Struct, frozen=True):
    """What is known about a decoded image.

    :param mode: Pillow's mode, for example ``L`` or ``RGB``.
    :param mean: mean over all pixels and channels, 0 to 255 for 8-bit modes; likewise ``std``.
    """

    width: int
    height: int
    mode: str
    mean: float
    std: float


def encode_png(pixels: "np.ndarray") -> bytes:
    """Encode a uint8 array (height, width) as a grey PNG without loss.

    The pixels are stored, not compressed: then the bytes, and with them the sample id, do not depend on the
    version of an image library or of zlib. Parquet compresses them anyway.
    """
    import numpy as np

    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise SourceError(
            f"An array of {pixels.dtype} with shape {pixels.shape} is not a grey image.",
            hint="Give uint8 arrays of (height, width).",
        )
    height, width = pixels.shape
    # Each row begins with its filter type: 0, none.
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = pixels
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 0)) + _chunk(b"IEND", b"")


def open_image(content: bytes) -> "Image":
    """Read an image's header; the pixels are decoded on first use.

    :raises SourceError: it has zero bytes, or no format that is known.
    """
    from PIL import Image

    if not content:
        raise SourceError("it has zero bytes")
    try:
        return Image.open(io.BytesIO(content))
    except _unreadable() as error:
        raise SourceError(f"it is not a readable image ({_brief(error)})") from error


def measure(image: "Image") -> Picture:
    """Decode an opened image and describe it.

    :raises SourceError: the pixels cannot be decoded or are no numbers, or the image is cut short.
    """
    import numpy as np

    with unreadable():
        pixels = np.asarray(image)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise SourceError("its pixels hold NaN or infinite values")
    return Picture(image.width, image.height, image.mode, float(pixels.mean()), float(pixels.std()))


def thumbnail(content: bytes, side: int = 96) -> bytes:
    """Return an image as PNG bytes of at most side x side pixels; a smaller one keeps its size.

    :raises SourceError: it cannot be decoded.
    """
    image = open_image(content)
    buffer = io.BytesIO()
    with unreadable():
        image.thumbnail((side, side))
        alpha = image.mode in ("LA", "PA", "P", "RGBA")
        image.convert("RGBA" if alpha else "RGB").save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


@contextmanager
def unreadable() -> Iterator[None]:
    """Say that pixels cannot be decoded, whatever a decoder raises.

    :raises SourceError: it raised.
    """
    try:
        yield
    except _unreadable() as error:
        raise SourceError(f"its pixels cannot be decoded ({_brief(error)})") from error


def _unreadable() -> tuple[type[Exception], ...]:
    """What Pillow raises on damaged bytes: its decoders have no common root. UnidentifiedImageError is an OSError."""
    from PIL import Image

    return (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def _brief(error: Exception) -> str:
    """Keep the reason, drop the address of the buffer that Pillow puts in it."""
    return str(error).partition(" <_io")[0].rstrip(".") or type(error).__name__


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
