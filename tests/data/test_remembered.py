"""What was added from a source is compared with what it holds now."""

from airlock.data.remembered import Remembered, compare, decode, encode, objects
from airlock.data.sources.source import Item

BEFORE = objects(
    [
        ("same", "1", "a", True),
        ("changed", "1", "b", True),
        ("written a moment before", "1", "c", False),
        ("removed", "1", "d", True),
    ]
)


class TestCompare:
    def test_only_what_rested_and_is_the_same_is_kept(self) -> None:
        items = [Item("changed", "2"), Item("new", "1"), Item("same", "1"), Item("written a moment before", "1")]
        found = compare(BEFORE, items)
        assert found.new == [0, 1, 3]
        assert found.kept["name"].to_pylist() == ["same"]
        assert found.gone == {"b", "c", "d"}

    def test_nothing_remembered(self) -> None:
        assert compare(objects(), [Item("new", "1")]).new == [0]


class TestFile:
    def test_there_and_back(self) -> None:
        found = decode(encode(Remembered("sha256:1", BEFORE)))
        assert found is not None
        assert found.digest == "sha256:1"
        assert found.objects.to_pylist() == BEFORE.to_pylist()

    def test_what_another_release_wrote_is_no_hint(self) -> None:
        assert decode(b"") is None
        assert decode(b"\x82\xa6digest\xa8sha256:1\xa7objects\x80") is None
