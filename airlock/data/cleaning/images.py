"""Cleaners of images."""

from pathlib import PurePath
from typing import Literal

import msgspec

from airlock.data.cleaning.cleaner import Cleaned, cleaner
from airlock.data.images import measure, open_image
from airlock.errors import SourceError

Mode = Literal["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"]


@cleaner(
    measures={"width": "int32", "height": "int32", "mode": "string", "mean": "double", "std": "double"},
    libraries=("numpy", "pillow"),
)
def decode_image(
    content: bytes,
    *,
    source: str = "",
    mode: Mode | None = None,
    min_side: int = 1,
    max_side: int = 8192,
    formats: tuple[str, ...] = (),
    extension: bool = False,
) -> Cleaned:
    """Decode an image completely and keep it as it is, or drop it.

    Header, size and mode are checked before any pixel is decoded: an image of 20,000 x 20,000 pixels costs nothing.

    :param mode: Pillow's mode; ``L`` is grey, 8 bits. Any by default.
    :param min_side: pixels; neither width nor height may be below.
    :param max_side: pixels; neither may be above.
    :param formats: Pillow's names of the file formats there may be, for example ``("PNG", "JPEG")``. Any by default.
    :param extension: drop a file whose name promises another format than it has.
    """
    image = open_image(content)
    _check_size(image.width, image.height, min_side, max_side)
    if mode and image.mode != mode:
        raise SourceError(f"its mode is {image.mode}, not {mode}")
    if formats and image.format not in formats:
        raise SourceError(f"its format is {image.format}, not {' or '.join(formats)}")
    if frames := _frames(image):
        raise SourceError(f"it is animated: {frames} frames")
    if extension:
        _check_extension(source, image.format or "")
    return Cleaned(content, measures=msgspec.structs.asdict(measure(image)))


def _check_size(width: int, height: int, min_side: int, max_side: int) -> None:
    if min(width, height) < min_side:
        raise SourceError(f"it is {width}x{height} pixels, a side is below min_side={min_side}")
    if max(width, height) > max_side:
        raise SourceError(f"it is {width}x{height} pixels, a side is above max_side={max_side}")


def _frames(image: object) -> int:
    """Return how many frames an animation has, 0 for a still image."""
    count = int(getattr(image, "n_frames", 1)) if getattr(image, "is_animated", False) else 1
    return count if count > 1 else 0


def _check_extension(source: str, found: str) -> None:
    from PIL import Image

    suffix = PurePath(source).suffix.lower()
    promised = Image.registered_extensions().get(suffix)
    if promised and promised != found:
        raise SourceError(f"its name ends in {suffix}, its format is {found}")
