"""Texts that say the same: MinHash finds candidates, the sets of their shingles decide."""

import re
import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from airlock.data.similarity.pairs import Pair

if TYPE_CHECKING:
    import numpy as np

PERMUTATIONS = 128
WORD = re.compile(r"\w+")
# Candidates are looked for below the threshold: MinHash estimates with an error of about 1 / sqrt(128).
SLACK = 0.15


def shingles(text: str, words: int = 3) -> "np.ndarray":
    """Return the distinct runs of that many words, lower case, hashed to uint32 and sorted; whole for a short text."""
    import numpy as np

    found = WORD.findall(text.casefold())
    runs = {" ".join(found[n : n + words]) for n in range(max(len(found) - words + 1, 1))}
    return np.array(sorted(zlib.crc32(run.encode()) for run in runs), np.uint32)


def near_texts(sets: "Sequence[np.ndarray]", similarity: float) -> list[Pair]:
    """Return every pair of texts whose shingles overlap.

    :param sets: their shingles.
    :param similarity: least Jaccard index, 0 to 1.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=max(similarity - SLACK, 0.1), num_perm=PERMUTATIONS)
    pairs: list[Pair] = []
    for place, found in enumerate(sets):
        sketch = MinHash(num_perm=PERMUTATIONS, hashfunc=int)
        sketch.update_batch(found.tolist())
        pairs += _verified(place, index.query(sketch), sets, similarity)
        index.insert(place, sketch, check_duplication=False)
    return pairs


def _verified(place: int, candidates: Iterable[int], sets: "Sequence[np.ndarray]", similarity: float) -> list[Pair]:
    import numpy as np

    found = []
    for other in sorted(candidates):
        common = len(np.intersect1d(sets[place], sets[other], assume_unique=True))
        jaccard = common / (len(sets[place]) + len(sets[other]) - common)
        if jaccard >= similarity:
            found.append(Pair(other, place, jaccard))
    return found
