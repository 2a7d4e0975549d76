"""Images that look the same: a perceptual hash finds candidates, small grey copies decide.

The hash is the one of Zauner 2010 (pHash): the signs of the 63 lowest frequencies of a 32 x 32 grey copy and one more,
against their median. Alone it takes any two simple shapes for one another, hence the second look: a pair counts when
its 16 x 16 copies correlate.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from os import cpu_count
from typing import TYPE_CHECKING

from airlock.data.images import open_image, unreadable
from airlock.data.similarity.hamming import close_pairs
from airlock.data.similarity.pairs import Pair

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

SIDE, FREQUENCIES, SMALL = 32, 8, 16
CHUNK = 512
# Grey levels of standard deviation below which an image is as good as blank and a correlation is noise.
BLANK = 2.0
# Grey levels by which two copies of one image may differ in mean: brightness is changed, a negative is not a copy.
LEVELS = 48.0
COMPARED = 200_000


class Fingerprints:
    """What is kept of images to compare them: 264 bytes each.

    :param codes: uint64 [n], the perceptual hashes.
    :param small: uint8 [n, 256], grey copies of 16 x 16 pixels.
    """

    def __init__(self, codes: "np.ndarray", small: "np.ndarray") -> None:
        self.codes = codes
        self.small = small


def fingerprint(contents: Iterable[bytes]) -> Fingerprints:
    """Decode images, a block at a time, on every core.

    :raises SourceError: one cannot be decoded.
    """
    import numpy as np

    codes: list[np.ndarray] = [np.empty(0, np.uint64)]
    small: list[np.ndarray] = [np.empty((0, SMALL * SMALL), np.uint8)]
    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        for chunk in _chunks(contents):
            found = compared([look(image) for image in pool.map(decoded, chunk)])
            codes.append(found.codes)
            small.append(found.small)
    return Fingerprints(np.concatenate(codes), np.concatenate(small))


def decoded(content: bytes) -> "Image":
    """Return an image with its pixels, as people see it: what is transparent on white, more than 8 bits stretched to 8.

    :raises SourceError: it cannot be decoded.
    """
    image = open_image(content)
    with unreadable():
        image.load()
        return _flat(image)


def look(image: "Image") -> "np.ndarray":
    """Return a grey copy, uint8 [32, 32]."""
    import numpy as np
    from PIL import Image

    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0), np.uint8)


def compared(looks: "Sequence[np.ndarray]") -> Fingerprints:
    """Return the fingerprints of grey copies."""
    import numpy as np

    grey = np.stack(looks) if len(looks) else np.empty((0, SIDE, SIDE), np.uint8)
    half = grey.reshape(len(grey), SMALL, 2, SMALL, 2).mean(axis=(2, 4))
    return Fingerprints(_hash(grey), half.round().astype(np.uint8).reshape(len(grey), -1))


def near_images(prints: Fingerprints, distance: int, similarity: float) -> list[Pair]:
    """Return every pair of images that look the same.

    :param distance: most bits in which their hashes differ.
    :param similarity: least correlation of their small copies, 0 to 1.
    """
    import numpy as np

    first, second, _ = close_pairs(prints.codes, distance)
    pairs: list[Pair] = []
    for start in range(0, len(first), COMPARED):
        a, b = first[start : start + COMPARED], second[start : start + COMPARED]
        alike = _alike(prints.small[a].astype(np.float32), prints.small[b].astype(np.float32))
        kept = alike >= similarity
        found = zip(a[kept].tolist(), b[kept].tolist(), alike[kept].tolist(), strict=True)
        pairs += [Pair(one, other, min(value, 1.0)) for one, other, value in found]
    return pairs


def _alike(a: "np.ndarray", b: "np.ndarray") -> "np.ndarray":
    """Return the correlation of rows; of two blank images, how near their grey is."""
    import numpy as np

    means = np.abs(a.mean(axis=1) - b.mean(axis=1))
    a = a - a.mean(axis=1, keepdims=True)
    b = b - b.mean(axis=1, keepdims=True)
    spread_a, spread_b = a.std(axis=1), b.std(axis=1)
    correlation = (a * b).mean(axis=1) / np.maximum(spread_a * spread_b, 1e-6)
    blank = (spread_a < BLANK) & (spread_b < BLANK)
    either = (spread_a < BLANK) ^ (spread_b < BLANK)
    correlation = np.where(blank, 1 - means / 255, np.where(either, 0, correlation))
    return np.where(means > LEVELS, 0, correlation)


def _flat(image: "Image") -> "Image":
    from PIL import Image

    if image.mode in ("LA", "PA", "RGBA") or (image.mode == "P" and "transparency" in image.info):
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    if image.mode.startswith("I") or image.mode == "F":
        return _stretched(image)
    return image


def _stretched(image: "Image") -> "Image":
    import numpy as np
    from PIL import Image

    values = np.asarray(image, np.float64)
    low, high = float(values.min()), float(values.max())
    return Image.fromarray(((values - low) * (255 / max(high - low, 1e-9))).astype(np.uint8))


def _hash(grey: "np.ndarray") -> "np.ndarray":
    """Return the hashes of images uint8 [n, 32, 32] as uint64 [n]."""
    import numpy as np

    basis = _cosines()
    low = basis @ grey.astype(np.float32) @ basis.T
    # The lowest frequency of all is the brightness: it says nothing, the next one on the diagonal takes its place.
    block = low[:, :FREQUENCIES, :FREQUENCIES].reshape(len(grey), -1).copy()
    block[:, 0] = low[:, FREQUENCIES, FREQUENCIES]
    bits = block > np.median(block, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64).reshape(-1)


def _cosines() -> "np.ndarray":
    """Return the first rows of the DCT-II matrix, float32 [9, 32]."""
    import numpy as np

    k, n = np.ogrid[: FREQUENCIES + 1, :SIDE]
    return np.cos(np.pi * (2 * n + 1) * k / (2 * SIDE)).astype(np.float32)


def _chunks(contents: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(contents)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
