"""Near-duplicate search: nothing within the distance is missed, and what was planted is found."""

import importlib.util
import sys
import time

import numpy as np
import pytest
from data_files import CHECKOUT

from airlock.data.similarity.hamming import close_pairs
from airlock.data.similarity.pairs import Twins, surplus
from airlock.data.similarity.texts import near_texts, shingles
from airlock.errors import UserError


@pytest.mark.parametrize("radius", [0, 1, 3, 4, 7, 10, 11])
@pytest.mark.parametrize("bits", [20, 63])
def test_search_finds_exactly_what_comparing_all_finds(radius, bits):
    random = np.random.default_rng(radius)
    codes = random.integers(0, 2**bits, 1500, dtype=np.uint64)
    for place in range(300):  # some that differ in up to 12 bits, anywhere
        flips = random.choice(64, place % 13, replace=False)
        codes[place + 300] = codes[place] ^ np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64))
    distances = np.bitwise_count(codes[:, None] ^ codes[None])
    first, second = np.nonzero(np.triu(distances <= radius, 1))
    found = close_pairs(codes, radius)
    assert list(zip(found[0].tolist(), found[1].tolist(), strict=True)) == list(
        zip(first.tolist(), second.tolist(), strict=True)
    )
    assert found[2].tolist() == distances[first, second].tolist()


def test_none_and_one_have_no_pair():
    for count in (0, 1):
        assert [len(part) for part in close_pairs(np.zeros(count, np.uint64), 3)] == [0, 0, 0]


def test_radius_beyond_the_index():
    with pytest.raises(UserError, match="12 bits cannot be searched"):
        close_pairs(np.zeros(2, np.uint64), 12)


def test_surplus_keeps_one_of_every_group():
    pairs = [Twins("a", "b", 1), Twins("b", "c", 1), Twins("x", "y", 1)]
    assert surplus(pairs) == {"b", "c", "y"}
    assert surplus([]) == set()


def test_planted_copies_of_images_are_found():
    """The benchmark's measurement on 2,000 images; 100,000 run in benchmarks/validation.py."""
    spec = importlib.util.spec_from_file_location("near_duplicates", CHECKOUT / "benchmarks" / "near_duplicates.py")
    assert spec is not None
    assert spec.loader is not None
    planted = importlib.util.module_from_spec(spec)
    sys.modules["near_duplicates"] = planted
    try:
        spec.loader.exec_module(planted)
        found = planted.measure(2000)
    finally:
        del sys.modules["near_duplicates"]
    assert found.precision == 1.0
    assert found.recall >= 0.95
    assert found.seconds < 60


def test_real_fashion_has_hardly_any_near_duplicate(fashion):
    from airlock.data.idx import read_idx
    from airlock.data.images import encode_png
    from airlock.data.similarity.images import fingerprint, near_images

    images = read_idx(fashion / "train-images-idx3-ubyte.gz", 1 << 30, 3)
    originals = [encode_png(image) for image in images]
    brighter = [encode_png(np.clip(image * 1.1, 0, 255).astype(np.uint8)) for image in images[:50]]
    pairs = near_images(fingerprint([*originals, *brighter]), 10, 0.98)
    wanted = {(place, len(images) + place) for place in range(50)}
    found = {(pair.first, pair.second) for pair in pairs}
    assert len(wanted & found) >= 49
    assert len(found - wanted) <= 25, "28 x 28 grey shirts do look alike"


def test_texts_by_share_of_changed_words():
    random = np.random.default_rng(3)
    texts = [" ".join(f"w{number}" for number in random.integers(0, 5000, 400)) for _ in range(300)]
    planted = [
        " ".join("x" if number in (50, 200, 350) else word for number, word in enumerate(text.split()))
        for text in texts[:40]
    ]
    started = time.perf_counter()
    pairs = near_texts([shingles(text) for text in [*texts, *planted]], 0.8)
    assert {(pair.first, pair.second) for pair in pairs} == {(place, 300 + place) for place in range(40)}
    assert time.perf_counter() - started < 60


def test_short_texts_have_shingles_too():
    assert len(shingles("one")) == len(shingles("")) == 1
    assert shingles("One, two.").tolist() == shingles("one TWO").tolist()
