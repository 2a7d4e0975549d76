"""Pairs of samples that are alike, and what follows from them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec


class Pair(NamedTuple):
    """Places of two samples, ``first < second``, and how alike they are, 0 to 1."""

    first: int
    second: int
    similarity: float


class Twins(msgspec.Struct, frozen=True):
    """Two samples that are alike."""

    first: str
    second: str
    similarity: float


def twin(one: str, other: str, similarity: float = 1.0) -> Twins:
    """Name a pair in the one order there is."""
    return Twins(min(one, other), max(one, other), similarity)


def twins(pairs: Iterable[Pair], ids: Sequence[str]) -> list[Twins]:
    """Name the samples of pairs, most alike first; the order does not depend on that of the samples."""
    named = [twin(ids[a], ids[b], round(similarity, 4)) for a, b, similarity in pairs]
    return sorted(named, key=lambda pair: (-pair.similarity, pair.first, pair.second))


def surplus(pairs: Iterable[Twins]) -> set[str]:
    """Return the samples that could go: all but one of every group that hangs together."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while (parent := parents.setdefault(name, name)) != name:
            parents[name] = name = parents[parent]
        return name

    for pair in pairs:
        first, second = sorted((root(pair.first), root(pair.second)))
        parents[second] = first
    return {name for name in parents if root(name) != name}
