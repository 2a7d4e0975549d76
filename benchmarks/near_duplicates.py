"""Near duplicates that were planted: how many are found, and how many of those found were planted."""

import io
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance

from airlock.data.similarity.images import fingerprint, near_images

SIDE = 96
SHARE = 0.02
DISTANCE, SIMILARITY = 10, 0.98


class Measured(NamedTuple):
    """What came out; ``recall_by`` is the recall of each way of changing an image."""

    images: int
    seconds: float
    pairs: int
    precision: float
    recall: float
    recall_by: dict[str, float]


def measure(images: int) -> Measured:
    """Search images of which one in fifty is a changed copy of another one."""
    planted = max(int(images * SHARE), len(CHANGES))
    originals = images - planted
    started = time.perf_counter()
    making = 0.0

    def timed() -> Iterator[bytes]:
        nonlocal making
        for number in range(images):
            begun = time.perf_counter()
            content = encode(picture(number) if number < originals else copy_of(number - originals))
            making += time.perf_counter() - begun
            yield content

    found = near_images(fingerprint(timed()), DISTANCE, SIMILARITY)
    seconds = time.perf_counter() - started - making
    wanted = {(number, originals + number) for number in range(planted)}
    pairs = {(pair.first, pair.second) for pair in found}
    names = list(CHANGES)
    by = {
        name: np.mean([(number, originals + number) in pairs for number in range(place, planted, len(names))])
        for place, name in enumerate(names)
    }
    return Measured(
        images, seconds, len(pairs), len(pairs & wanted) / (len(pairs) or 1), len(pairs & wanted) / planted,
        {name: float(share) for name, share in by.items()},
    )  # fmt: skip


def picture(number: int) -> Image.Image:
    """Draw a scene: clouds of colour with some ellipses and bars, different for every number."""
    random = np.random.default_rng(number)
    clouds = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((SIDE, SIDE), Image.BICUBIC)
    pixels = np.asarray(clouds).copy()
    rows, columns = np.ogrid[:SIDE, :SIDE]
    for _ in range(5):
        y, x, h, w = random.uniform((0, 0, 6, 6), (SIDE, SIDE, 30, 30))
        pixels[((rows - y) / h) ** 2 + ((columns - x) / w) ** 2 < 1] = random.integers(0, 256, 3)
    return Image.fromarray(pixels)


def copy_of(number: int) -> Image.Image:
    """Return a changed copy of a picture; the ways to change it take turns."""
    return list(CHANGES.values())[number % len(CHANGES)](picture(number))


def encode(image: Image.Image, quality: int = 90) -> bytes:
    """Return a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _recompressed(image: Image.Image) -> Image.Image:
    return Image.open(io.BytesIO(encode(image, 35)))


def _noisy(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image, np.int16)
    noise = np.random.default_rng(0).normal(0, 8, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def _stamped(image: Image.Image) -> Image.Image:
    stamped = image.copy()
    stamped.paste((255, 255, 255), (SIDE - 14, SIDE - 8, SIDE - 2, SIDE - 3))
    return stamped


CHANGES = {
    "recompressed": _recompressed,
    "smaller": lambda image: image.resize((SIDE * 2 // 3, SIDE * 2 // 3)),
    "larger": lambda image: image.resize((SIDE * 2, SIDE * 2)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.12),
    "duller": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
    "greyer": lambda image: ImageEnhance.Color(image).enhance(0.2),
    "noisy": _noisy,
    "cropped": lambda image: image.crop((1, 1, SIDE - 1, SIDE - 1)),
    "stamped": _stamped,
}


if __name__ == "__main__":
    print(measure(2000))
