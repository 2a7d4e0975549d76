"""The split as a function: stable, honest to the source's own split, and as large as asked for."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.data.splitting import assign, split
from airlock.errors import DataRejected, UserError

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}
WITHOUT = [{"train": 1.0}, {"train": 0.9, "test": 0.1}, {"train": 0.9, "validation": 0.1}]
SOURCES = st.sampled_from([None, "train", "test"])


def ids(count, start=0):
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(start, start + count)]


def test_shares_are_as_asked_for():
    _, counts = split([(name, None) for name in ids(20_000)], FRACTIONS, "salt")
    assert sum(counts.values()) == 20_000
    assert {name: count / 20_000 for name, count in counts.items()} == pytest.approx(FRACTIONS, abs=0.01)


@given(st.dictionaries(st.text(max_size=8), SOURCES, max_size=20))
def test_old_samples_stay_when_new_ones_arrive(old):
    new = dict.fromkeys(ids(40))
    before, _ = split([*new.items()], FRACTIONS, "salt")
    after, _ = split([*old.items(), *new.items()], FRACTIONS, "salt")
    assert after[len(old) :] == before
    alone = [assign(*sample, FRACTIONS, "salt") for sample in old.items()]
    assert after[: len(old)] == alone


@given(st.text(), st.text(), st.floats(0, 0.99))
def test_the_sources_own_split_is_kept(sample_id, salt, held_back):
    fractions = {"train": 1 - held_back, "validation": held_back / 2, "test": held_back / 2}
    assert assign(sample_id, "test", fractions, salt) == "test"
    assert assign(sample_id, "train", fractions, salt) != "test"


@given(
    st.text(),
    SOURCES,
    st.sampled_from([{"train": 1.0}, {"train": 0.9, "test": 0.1}, {"train": 0.9, "validation": 0.1}]),
)
def test_a_split_without_a_share_gets_nothing_of_its_own(sample_id, source, fractions):
    found = assign(sample_id, source, fractions, "salt")
    assert found in fractions or (found == "test" and source == "test")


def test_another_salt_is_another_split():
    samples = [(name, None) for name in ids(200)]
    assert split(samples, FRACTIONS, "a") != split(samples, FRACTIONS, "b")
    assert split(samples, FRACTIONS, "a") == split(samples, FRACTIONS, "a")


def test_training_samples_of_the_source_are_shared_between_train_and_validation():
    samples = [*((name, "train") for name in ids(10_000)), ("x", "test")]
    _, counts = split(samples, {"train": 0.6, "validation": 0.2, "test": 0.2}, "salt")
    assert counts["test"] == 1
    assert counts["train"] / 10_000 == pytest.approx(0.75, abs=0.015)


@pytest.mark.parametrize(
    ("fractions", "part"),
    [
        ({"train": 0.7, "validation": 0.2, "test": 0.2}, "sum to 1.1, not 1"),
        ({"train": 0.5, "test": 0.4}, "sum to 0.9, not 1"),
        ({"train": 0.5, "dev": 0.5}, "names dev"),
        ({"train": 1.2, "test": -0.2}, "negative"),
        ({"validation": 0.5, "test": 0.5}, "no training share"),
        ({}, "no training share"),
    ],
)
def test_fractions_that_are_no_split(fractions, part):
    with pytest.raises(UserError, match=part) as caught:
        split([("a", None)], fractions, "salt")
    assert "train" in caught.value.hint


def test_too_few_samples_for_every_split():
    with pytest.raises(DataRejected, match=r"1 samples leave the split .* empty"):
        split([("a", None)], FRACTIONS, "salt")
