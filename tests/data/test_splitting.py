"""The split as a function: stable, honest to the source's own split, and as large as asked for."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.data.splitting import Item, assign, split
from airlock.data.stratification import stratified
from airlock.errors import DataRejected, UserError

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}
WITHOUT = [{"train": 1.0}, {"train": 0.9, "test": 0.1}, {"train": 0.9, "validation": 0.1}]
SOURCES = st.sampled_from([None, "train", "test"])


def ids(count, start=0):
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(start, start + count)]


def test_shares_are_as_asked_for():
    _, counts = split([Item(name) for name in ids(20_000)], FRACTIONS, "salt")
    assert sum(counts.values()) == 20_000
    assert {name: count / 20_000 for name, count in counts.items()} == pytest.approx(FRACTIONS, abs=0.01)


@given(st.dictionaries(st.text(max_size=8), SOURCES, max_size=20))
def test_old_samples_stay_when_new_ones_arrive(old):
    new = dict.fromkeys(ids(40))
    before, _ = split([Item(*pair) for pair in new.items()], FRACTIONS, "salt")
    after, _ = split([Item(*pair) for pair in [*old.items(), *new.items()]], FRACTIONS, "salt")
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
    samples = [Item(name) for name in ids(200)]
    assert split(samples, FRACTIONS, "a") != split(samples, FRACTIONS, "b")
    assert split(samples, FRACTIONS, "a") == split(samples, FRACTIONS, "a")


def test_training_samples_of_the_source_are_shared_between_train_and_validation():
    samples = [*(Item(name, "train") for name in ids(10_000)), Item("x", "test")]
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
        split([Item("a")], fractions, "salt")
    assert "train" in caught.value.hint


def test_too_few_samples_for_every_split():
    with pytest.raises(DataRejected, match=r"1 samples leave the split .* empty"):
        split([Item("a")], FRACTIONS, "salt")


class TestGroups:
    @given(st.lists(st.tuples(st.text(max_size=4), st.sampled_from("abcdefgh")), max_size=60))
    def test_a_group_never_straddles(self, pairs):
        items = [Item(f"{number}{name}", group=group) for number, (name, group) in enumerate(pairs)]
        places = {}
        for item in items:
            places.setdefault(item.group, set()).add(assign(item.unit, None, FRACTIONS, "salt"))
        assert all(len(found) == 1 for found in places.values())

    def test_groups_keep_the_fractions(self):
        items = [Item(name, group=str(number // 5)) for number, name in enumerate(ids(20_000))]
        _, counts = split(items, FRACTIONS, "salt")
        assert {name: count / 20_000 for name, count in counts.items()} == pytest.approx(FRACTIONS, abs=0.02)

    def test_a_new_sample_of_a_group_goes_where_the_group_is(self):
        items = [Item(name, group=str(number % 40)) for number, name in enumerate(ids(400))]
        before, _ = split(items[:200], FRACTIONS, "salt")
        after, _ = split(items, FRACTIONS, "salt")
        assert after[:200] == before
        places = {}
        for item, where in zip(items, after, strict=True):
            places.setdefault(item.group, set()).add(where)
        assert all(len(found) == 1 for found in places.values())

    @pytest.mark.parametrize("other", ["train", None])
    def test_a_test_samples_group_in_train_is_refused(self, other):
        items = [*(Item(name) for name in ids(100)), Item("a", other, "patient 7"), Item("b", "test", "patient 7")]
        with pytest.raises(DataRejected, match=r"'patient 7' \(a (train|undeclared), b test\)") as caught:
            split(items, FRACTIONS, "salt")
        assert "leak" in caught.value.hint

    def test_a_group_is_not_mistaken_for_the_sample_of_that_name(self):
        assert Item("x").unit != Item("y", group="x").unit


class TestTestSources:
    def items(self, count=60):
        return [Item(name, source=f"{'ab'[number % 2]}/{number}") for number, name in enumerate(ids(count))]

    def test_what_lies_there_is_test_and_only_that_when_test_has_no_share(self):
        items = self.items()
        assigned, counts = split(items, {"train": 0.8, "validation": 0.2}, "salt", ["b/*"])
        assert {item.source[0] for item, where in zip(items, assigned, strict=True) if where == "test"} == {"b"}
        assert counts["test"] == 30

    def test_they_outweigh_what_the_source_says(self):
        items = [item._replace(declared="train") for item in self.items()]
        assigned, _ = split(items, {"train": 0.8, "validation": 0.2}, "salt", ["b/*"])
        assert assigned[1::2] == ["test"] * 30

    def test_a_pattern_that_matches_nothing_is_refused(self):
        with pytest.raises(UserError, match=r"\['c/\*'\] match no labelled sample"):
            split(self.items(), FRACTIONS, "salt", ["b/*", "c/*"])

    def test_a_group_in_a_test_source_and_outside_is_refused(self):
        items = [*self.items(), Item("x", group="g", source="a/x"), Item("y", group="g", source="b/y")]
        with pytest.raises(DataRejected, match="'g'"):
            split(items, FRACTIONS, "salt", ["b/*"])


LABELS = st.lists(st.sampled_from(["cat", "dog", "cow"]), min_size=0, max_size=200)


def labelled(labels, start=0):
    return [Item(name, label=label) for name, label in zip(ids(len(labels), start), labels, strict=True)]


def off(items, assigned, fractions):
    """How many samples each class's split has too many (above 0) or too few."""
    for label in {item.label for item in items}:
        places = [where for item, where in zip(items, assigned, strict=True) if item.label == label]
        for name, share in fractions.items():
            yield places.count(name) - share * len(places)


class TestStratified:
    base = labelled(["cat", "dog", "cow"] * 7, start=10_000)

    @given(LABELS)
    def test_every_class_keeps_the_fractions(self, labels):
        items = self.base + labelled(labels)
        assigned, counts = stratified(items, FRACTIONS, "salt", {})
        assert sum(counts.values()) == len(items)
        assert all(-4 / 3 - 1e-6 <= found <= 2 / 3 + 1e-6 for found in off(items, assigned, FRACTIONS))

    @given(LABELS, LABELS)
    def test_old_samples_stay_and_the_fractions_too(self, old, new):
        first = self.base + labelled(old)
        before, _ = stratified(first, FRACTIONS, "salt", {})
        kept = dict(zip((item.sample_id for item in first), before, strict=True))
        items = labelled(new, start=1000) + first
        after, _ = stratified(items, FRACTIONS, "salt", kept)
        assert after[len(new) :] == before
        assert all(-4 / 3 - 1e-6 <= found <= 2 / 3 + 1e-6 for found in off(items, after, FRACTIONS))
        again, _ = stratified(items, FRACTIONS, "salt", dict(zip((i.sample_id for i in items), after, strict=True)))
        assert again == after

    @given(st.permutations(range(30)))
    def test_the_order_of_the_samples_decides_nothing(self, order):
        items = labelled(["cat", "dog", "cow"] * 10)
        straight, _ = stratified(items, FRACTIONS, "salt", {})
        mixed, _ = stratified([items[place] for place in order], FRACTIONS, "salt", {})
        assert mixed == [straight[place] for place in order]

    def test_a_rare_class_is_in_every_split(self):
        items = labelled(["cat"] * 2000 + ["axolotl"] * 10)
        assigned, _ = stratified(items, FRACTIONS, "salt", {})
        assert set(assigned[2000:]) == {"train", "validation", "test"}

    def test_groups_stay_together_and_new_members_follow(self):
        items = [Item(name, group=str(n // 4), label="cat") for n, name in enumerate(ids(80))]
        before, _ = stratified(items[::2], FRACTIONS, "salt", {})
        kept = dict(zip((item.sample_id for item in items[::2]), before, strict=True))
        after, _ = stratified(items, FRACTIONS, "salt", kept)
        assert after[::2] == before
        assert all(len(set(after[start : start + 4])) == 1 for start in range(0, 80, 4))

    def test_what_was_trained_with_cannot_become_test(self):
        items = labelled(["cat"] * 40)
        before, _ = stratified(items, FRACTIONS, "salt", {})
        kept = dict(zip((item.sample_id for item in items), before, strict=True))
        first = before.index("train")
        items[first] = items[first]._replace(declared="test", source="b/1")
        with pytest.raises(DataRejected, match=r"b/1.* was in train in the split before, and is now declared test"):
            stratified(items, FRACTIONS, "salt", kept)

    def test_a_group_that_straddled_before_is_refused(self):
        items = labelled(["cat"] * 40)
        before, _ = stratified(items, FRACTIONS, "salt", {})
        kept = dict(zip((item.sample_id for item in items), before, strict=True))
        grouped = [item._replace(group="one") for item in items]
        with pytest.raises(DataRejected, match="'one' straddles"):
            stratified(grouped, FRACTIONS, "salt", kept)
