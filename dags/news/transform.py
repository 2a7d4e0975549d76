"""What the news model sees of an article: how often its words occur, counted by their hashes (Weinberger et al. 2009,
Feature hashing for large scale multitask learning). The same file runs in training and in serving.
"""

import re
import zlib

import numpy as np

INPUT = "text"
WORD = re.compile(r"[a-z]{2,}")
# Words that say nothing of a section.
COMMON = frozenset(
    (  # noqa: SIM905 - words read better than a list of them
        "about after all also am an and any are as at be because been before being but by can could did do does for "
        "from had has have he her him his how if in into is it its just last made make many may me more most much my "
        "new no not now of off on one only or other our out over said same say says she should so some such than that "
        "the their them then there these they this those to two under until up very was way we well were what when "
        "where which while who will with would year years you your"
    ).split()
)


def transform(text: str, buckets: int = 8192) -> np.ndarray:
    """Return an article as ``uint8 [buckets]``: 32 · log2(1 + count) of each bucket's words."""
    words = [word for word in WORD.findall(text.lower()) if word not in COMMON]
    hashes = np.asarray([zlib.crc32(word.encode()) % buckets for word in words], np.int64)
    counts = np.bincount(hashes, minlength=buckets)
    counted: np.ndarray = np.minimum(np.rint(32 * np.log2(1 + counts)), 255).astype(np.uint8)
    return counted
