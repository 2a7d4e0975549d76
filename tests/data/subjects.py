"""Subjects of checks: contents, images and columns to plant something in."""

import io

import numpy as np
import pandas as pd
from PIL import Image

from airlock.data.checks import Subject, decode_checks, run_checks

RANDOM = np.random.default_rng(5)


def names(count, start=0):
    return [f"{number:064x}" for number in range(start, start + count)]


def subject_of(contents, labels=None, columns=None, **more):
    """Make a subject of contents; a list of bytes, numbered."""
    ids = names(len(contents))
    frame = pd.DataFrame({"sample_id": ids, "label": labels or ["cat"] * len(ids)})
    for name, values in (columns or {}).items():
        frame[name] = values
    return Subject(frame, lambda: iter(zip(ids, contents, strict=True)), **more)


def run(subject, **check):
    return run_checks(decode_checks([check]), subject)[0]


def scene(seed, side=64):
    """Draw clouds: no two seeds look alike."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 5), dtype=np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


def jpeg(image, quality=90):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def frames(rows=2000, shift=0.0, labels="ab"):
    """Draw the columns of a dataset version."""
    mean = RANDOM.normal(100 + shift, 20, rows)
    label = RANDOM.choice(list(labels), rows)
    return pd.DataFrame({"sample_id": names(rows), "label": label, "mean": mean, "mode": "L"})
