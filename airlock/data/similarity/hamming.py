"""All pairs of 64-bit codes that differ in few bits, without comparing every code with every other.

Multi-index hashing (Norouzi, Punjani, Fleet 2014): a code is cut into four substrings of 16 bits. Codes that differ
in at most r bits differ in at most r // 4 bits in one of them, so every code is compared only with those that share a
substring up to that many bits.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from airlock.errors import UserError

if TYPE_CHECKING:
    import numpy as np

PARTS, BITS = 4, 16
BLOCK = 4_000_000
MAX_RADIUS = 11


def close_pairs(codes: "np.ndarray", radius: int) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
    """Find all pairs within a Hamming distance.

    :param codes: uint64 [n].
    :param radius: most bits that may differ, 0 to 11.
    :return: places ``first < second`` and their distance, int64 each, ordered.
    :raises UserError: the radius is outside of what the index serves.
    """
    import numpy as np

    if not 0 <= radius <= MAX_RADIUS:
        raise UserError(f"A distance of {radius} bits cannot be searched.", hint=f"Use 0 to {MAX_RADIUS}.")
    count = np.uint64(max(len(codes), 1))
    found = [np.empty(0, np.uint64)]
    for first, second in _candidates(codes, radius // PARTS):
        near = np.bitwise_count(codes[first] ^ codes[second]) <= radius
        low, high = np.minimum(first[near], second[near]), np.maximum(first[near], second[near])
        found.append(np.unique(low.astype(np.uint64) * count + high.astype(np.uint64)))
    joined = np.unique(np.concatenate(found))
    first, second = (joined // count).astype(np.int64), (joined % count).astype(np.int64)
    return first, second, np.bitwise_count(codes[first] ^ codes[second]).astype(np.int64)


def _candidates(codes: "np.ndarray", flips: int) -> "Iterator[tuple[np.ndarray, np.ndarray]]":
    """Yield blocks of pairs that share a substring up to that many flipped bits."""
    import numpy as np

    masks = [sum(1 << bit for bit in bits) for n in range(flips + 1) for bits in combinations(range(BITS), n)]
    for part in range(PARTS):
        keys = ((codes >> np.uint64(BITS * part)) & np.uint64((1 << BITS) - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[order], np.arange((1 << BITS) + 1))
        for mask in masks:
            yield from _bucket_pairs(keys, order, starts, mask)


def _bucket_pairs(
    keys: "np.ndarray", order: "np.ndarray", starts: "np.ndarray", mask: int
) -> "Iterator[tuple[np.ndarray, np.ndarray]]":
    """Yield every code with those in the bucket that its key meets under a mask, in blocks of bounded size."""
    import numpy as np

    wanted = keys[order] ^ mask
    place = np.arange(len(order))
    # Under the empty mask a bucket meets itself, and each code those behind it; else the pair is met from one side.
    begin = np.where(wanted == keys[order], place + 1, starts[wanted])
    end = np.where(wanted >= keys[order], starts[wanted + 1], begin)
    sizes = np.maximum(end - begin, 0)
    edges = np.concatenate([[0], np.cumsum(sizes)])
    low = 0
    while low < len(order):
        high = max(int(np.searchsorted(edges, edges[low] + BLOCK, "right")) - 1, low + 1)
        counts = sizes[low:high]
        first = np.repeat(place[low:high], counts)
        within = np.arange(counts.sum()) - np.repeat(edges[low:high] - edges[low], counts)
        second = np.repeat(begin[low:high], counts) + within
        yield order[first], order[second]
        low = high
