"""Active learning: which samples are worth asking about, by how unsure a model is and how different they are.

Least confidence, margin and entropy as in B. Settles, *Active Learning Literature Survey* (2009); k-center-greedy as in
O. Sener and S. Savarese, *Active Learning for Convolutional Neural Networks: A Core-Set Approach* (2018).
"""

from collections.abc import Callable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def least_confidence(probabilities: Floats) -> Floats:
    """Return 1 minus the largest probability, (n,); probabilities are (n, classes)."""
    found: Floats = 1.0 - probabilities.max(axis=1)
    return found


def margin(probabilities: Floats) -> Floats:
    """Return 1 minus the distance of the two largest probabilities, (n,)."""
    top = np.sort(probabilities, axis=1)[:, -2:]
    return 1.0 - (top[:, 1] - top[:, 0])


def entropy(probabilities: Floats) -> Floats:
    """Return the entropy divided by its largest value, (n,)."""
    safe = np.clip(probabilities, 1e-12, 1.0)
    found: Floats = -(safe * np.log(safe)).sum(axis=1) / np.log(probabilities.shape[1])
    return found


UNCERTAINTY: dict[str, Callable[[Floats], Floats]] = {
    "least_confidence": least_confidence,
    "margin": margin,
    "entropy": entropy,
}


def most(urgency: Floats, size: int) -> list[int]:
    """Return the indices of the largest values, the largest first; equal ones in their order."""
    return [int(index) for index in np.argsort(-urgency, kind="stable")[:size]]


def k_center(embeddings: Floats, size: int, taken: list[int], seed: int) -> list[int]:
    """Return indices of points that are far from each other and from what is taken, greedily.

    :param embeddings: (n, dimensions).
    :param taken: indices chosen already; not returned.
    """
    count = len(embeddings)
    chosen: list[int] = []
    nearest = np.full(count, np.inf)
    for index in taken:
        nearest = np.minimum(nearest, _distances(embeddings, index))
    if not taken and count and size:
        chosen.append(int(np.random.default_rng(seed).integers(count)))
        nearest = _distances(embeddings, chosen[0])
    nearest[[*taken, *chosen]] = -1.0
    while len(chosen) < min(size, count - len(taken)):
        index = int(nearest.argmax())
        chosen.append(index)
        nearest = np.minimum(nearest, _distances(embeddings, index))
        nearest[index] = -1.0
    return chosen


def _distances(embeddings: Floats, index: int) -> Floats:
    difference = embeddings - embeddings[index]
    found: Floats = np.einsum("ij,ij->i", difference, difference)
    return found


def stratified(groups: list[str], size: int, seed: int) -> list[int]:
    """Return random indices, as many of each group as there can be evenly."""
    order = np.random.default_rng(seed).permutation(len(groups))
    members: dict[str, list[int]] = {}
    for index in order:
        members.setdefault(groups[index], []).append(int(index))
    names = sorted(members)
    turns = (members[name][turn] for turn in range(len(groups)) for name in names if turn < len(members[name]))
    return list(islice(turns, size))


def embed_images(contents: list[bytes], side: int = 16) -> Floats:
    """Return grey thumbnails as vectors, (n, side²)."""
    from airlock.data.images import open_image

    small = [np.asarray(open_image(item).convert("L").resize((side, side)), np.float64).ravel() for item in contents]
    return np.stack(small) / 255.0


def embed_texts(contents: list[bytes], dimensions: int = 64) -> Floats:
    """Return latent semantic vectors of texts, (n, dimensions)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(max_features=5000, sublinear_tf=True).fit_transform(item.decode() for item in contents)
    found: Floats = TruncatedSVD(min(dimensions, words.shape[1] - 1), random_state=0).fit_transform(words)
    return found
