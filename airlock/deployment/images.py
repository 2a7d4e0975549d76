"""Uploaded bytes to an image, within limits that are checked on the header, before a pixel is decoded."""

import io
import struct
import warnings

from PIL import Image

from airlock.deployment.inputs import FORMATS, ImageInput, ImageLimits
from airlock.errors import SourceError


def decode_image(data: bytes, expected: ImageInput, mime_type: str = "") -> Image.Image:
    """Decode an image and convert it to the mode the model was trained on.

    :param data: the encoded image.
    :param mime_type: what it is said to be; by default any that is accepted.
    :raises SourceError: empty, of another format, too large, or damaged.
    """
    if not data:
        raise SourceError("The image has zero bytes.", hint="Send the content of an image file.")
    if len(data) > expected.limits.bytes:
        raise SourceError(
            f"The image has {len(data)} bytes, more than {expected.limits.bytes}.", hint="Send a smaller image."
        )
    image = _open(data, [mime_type] if mime_type else list(expected.mime_types))
    _require_size(image.size, expected.limits)
    try:
        return image.convert(expected.mode)
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise SourceError(f"The image is damaged: {error}.", hint="Send a complete image file.") from error


def _open(data: bytes, mime_types: list[str]) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow's own limit is a warning first; ours is stricter and an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data), formats=[FORMATS[name] for name in mime_types])
    except Image.DecompressionBombError as error:
        raise SourceError(f"The image is too large: {error}", hint="Send a smaller image.") from error
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise SourceError(
            f"The {len(data)} bytes are not an image that can be read.", hint=f"Send {', '.join(mime_types)}."
        ) from error


def _require_size(size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if max(size) > limits.side or width * height > limits.pixels:
        raise SourceError(
            f"The image has {width} x {height} pixels, more than {limits.side} a side or {limits.pixels} in all.",
            hint="Scale it down before sending it.",
        )
