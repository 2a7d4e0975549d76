"""Small inputs for the data tests, made here so that a test shows what is wrong with them."""

import gzip
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from airlock.steps.contract import Result

CHECKOUT = Path(__file__).parents[2]


def pixels(seed: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)


def png(seed: int, side: int = 8, mode: str = "L") -> bytes:
    """Return a PNG whose pixels depend on the seed."""
    buffer = io.BytesIO()
    Image.fromarray(pixels(seed, side)).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def declared_png(width: int, height: int) -> bytes:
    """Return a valid PNG header of an image of that size, and almost no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (header, b"IDAT" + zlib.compress(b"\0"), b"IEND")
    framed = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def image_folder(root: Path, classes: dict[str, int], seed: int = 0) -> Path:
    """Write a folder with that many different images in each class."""
    for name, count in classes.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            seed += 1
            (root / name / f"{seed:04}.png").write_bytes(png(seed))
    return root


def idx_bytes(array: np.ndarray, magic: int | None = None) -> bytes:
    """Encode an array of unsigned bytes as an IDX file."""
    head = struct.pack(">I", 0x0800 | array.ndim if magic is None else magic)
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_files(root: Path, train: int = 12, test: int = 6) -> Path:
    """Write the four files of an IDX set with three classes, gzipped under their published names."""
    root.mkdir(parents=True, exist_ok=True)
    for seed, (prefix, count) in enumerate((("train", train), ("t10k", test))):
        images = np.random.default_rng(seed).integers(0, 256, (count, 5, 7), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 3
        (root / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
        (root / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(labels)))
    return root


def assert_refused(result: Result, kind: str, *parts: str, category: str = "user") -> None:
    """Assert that a step failed with an error of that class whose text has all parts, and left no outputs."""
    assert result.status == "failed", "bad input must fail the step"
    assert result.failure is not None
    assert (result.failure.kind, result.failure.category) == (kind, category), result.failure
    text = f"{result.failure.message} {result.failure.hint}"
    missing = [part for part in parts if part not in text]
    assert not missing, f"{missing} not in: {text}"
    assert result.failure.hint, "an error names the way out"
    assert result.outputs == {}
