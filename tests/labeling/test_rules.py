"""How answers become one label."""

from typing import Any

import pytest

from airlock.errors import UserError
from airlock.references import DatasetVersion
from airlock.stores.database import Database
from airlock.stores.labels import Answer, Incident, LabelStore, Rule

DATASET = DatasetVersion(name="d", version=1, digest="sha256:" + "d" * 64, rows=9)


@pytest.fixture
def store(database: Database) -> LabelStore:
    return LabelStore(database)


def say(store: LabelStore, kind: str, **labels: str) -> None:
    """Let people answer about the sample ``a``."""
    store.record(
        DATASET.digest,
        [Answer(sample_id="a", annotator=who, label=label, kind=kind) for who, label in labels.items()],  # type: ignore[arg-type]
    )


def decided(store: LabelStore, **rule: Any) -> str | None:
    """The label of ``a``; also checks that what has none is disputed."""
    resolution = store.decide(DATASET, Rule(**rule))
    label = store.read(resolution.labels).get("a")
    people = any(item.kind == "label" for item in store.answers(DATASET.digest, "a"))
    assert resolution.disputed == (() if label or not people else ("a",))
    return label


class TestConsensus:
    @pytest.mark.parametrize(
        ("labels", "rule", "label"),
        [
            ({"lena": "cat", "sami": "cat", "otto": "dog"}, {}, "cat"),
            ({"lena": "cat", "sami": "dog"}, {}, None),
            ({"lena": "cat", "sami": "cat", "otto": "dog"}, {"consensus": "unanimous"}, None),
            ({"lena": "cat", "sami": "cat"}, {"consensus": "unanimous"}, "cat"),
            ({"lena": "cat", "sami": "cat", "otto": "dog"}, {"agreement": 0.7}, None),
            ({"lena": "cat", "sami": "cat", "otto": "dog"}, {"agreement": 0.6}, "cat"),
            ({"lena": "cat", "sami": "dog"}, {"consensus": "weighted", "weights": {"sami": 1.5}}, "dog"),
            ({"lena": "cat", "sami": "dog"}, {"weights": {"sami": 1.5}}, None),
            ({"lena": "cat"}, {"consensus": "weighted", "weights": {"lena": 0.0}}, None),
            ({"lena": "cat"}, {"minimum": 2}, None),
            ({"lena": "cat", "sami": "cat"}, {"minimum": 2}, "cat"),
        ],
    )
    def test_each_rule(
        self, store: LabelStore, labels: dict[str, str], rule: dict[str, Any], label: str | None
    ) -> None:
        say(store, "label", **labels)
        assert decided(store, **rule) == label

    def test_an_adjudicator_wins_against_any_rule_and_the_last_one_against_others(self, store: LabelStore) -> None:
        say(store, "label", lena="cat", sami="cat")
        say(store, "adjudication", otto="dog")
        assert decided(store, minimum=5, consensus="unanimous") == "dog"
        say(store, "adjudication", mia="cow")
        assert decided(store) == "cow"

    def test_an_adjudicator_who_labelled_the_same_before_still_settles(self, store: LabelStore) -> None:
        say(store, "label", lena="cat", sami="dog")
        say(store, "adjudication", lena="cat")
        assert decided(store) == "cat"


class TestSources:
    @pytest.mark.parametrize(("sources", "label"), [("vote", None), ("fallback", "dog"), ("ignored", "dog")])
    def test_beside_a_person(self, store: LabelStore, sources: str, label: str | None) -> None:
        say(store, "source", source="cat")
        say(store, "label", lena="dog")
        assert decided(store, sources=sources) == label

    @pytest.mark.parametrize(("sources", "label"), [("vote", "cat"), ("fallback", "cat"), ("ignored", None)])
    def test_alone_they_need_no_minimum(self, store: LabelStore, sources: str, label: str | None) -> None:
        say(store, "source", source="cat")
        assert decided(store, sources=sources, minimum=2, agreement=1.0) == label

    def test_what_people_dispute_is_not_settled_by_a_source(self, store: LabelStore) -> None:
        say(store, "source", source="cat")
        say(store, "label", lena="dog", sami="cat")
        assert decided(store, sources="fallback") is None


class TestVersions:
    def test_the_same_keeps_its_version_and_another_gets_the_next(self, store: LabelStore) -> None:
        say(store, "label", lena="cat")
        assert [store.decide(DATASET, Rule()).version for _ in range(2)] == [1, 1]
        assert store.decide(DATASET, Rule(minimum=2)).version == 2
        say(store, "label", sami="cat")
        assert store.decide(DATASET, Rule(minimum=2)).version == 3


@pytest.mark.parametrize(
    "rule", [{"agreement": 1.5}, {"minimum": 0}, {"weights": {"lena": -1.0}}, {"weights": {"lena": float("nan")}}]
)
def test_what_is_no_rule_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Rule(**rule)


def test_an_incident_is_kept_once(store: LabelStore) -> None:
    incident = Incident(kind="skipped", sample_id="a", annotator="lena")
    assert [store.note(DATASET.digest, [incident, incident]) for _ in range(2)] == [1, 0]
    assert store.incidents(DATASET.digest) == [incident]
