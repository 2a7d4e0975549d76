"""Exports lose nothing, and imports add nothing twice."""

import msgspec
import pytest

from airlock.errors import UserError
from airlock.labeling.answers import Asked, read_snapshot
from airlock.labeling.config import classification
from airlock.labeling.exchange import export_labels, import_labels, to_label_studio
from airlock.labeling.studio import Studio
from airlock.stores.database import Database
from airlock.stores.labels import Answer, Incident, LabelStore
from tests.labeling.conftest import CLASSES, Labeler
from tests.services.label_studio import LabelStudioServer

DATASET = "sha256:" + "d" * 64


def said(sample_id: str, label: str, annotator: str = "lena", **more: object) -> Answer:
    return Answer(sample_id=sample_id, annotator=annotator, label=label, **{"kind": "label", **more})  # type: ignore[arg-type]


@pytest.fixture
def filled(database: Database) -> LabelStore:
    """Give a store with a changed mind, a source, an adjudication and an incident in it."""
    store = LabelStore(database)
    for label in ("sport", "tech", "sport"):
        store.record(DATASET, [said("a", label, reference=f"1/{label}", answered=12.5, lead_time=0.1, confidence=0.9)])
    store.record(DATASET, [Answer(sample_id="a", annotator="source", label="tech", origin="a/b.txt")])
    store.record(DATASET, [said("b", "tëch ☃", "sami"), said("a", "tech", "otto", kind="adjudication")])
    store.note(DATASET, [Incident(kind="malformed", sample_id="b", body='[{"foo": "bär"}]')])
    return store


class TestOwnFormat:
    def test_export_import_export_is_the_same_bytes(self, filled: LabelStore, second_database: Database) -> None:
        exported = export_labels(filled, DATASET)
        other = LabelStore(second_database)
        assert import_labels(other, exported) == 6
        assert export_labels(other, DATASET) == exported
        assert len(exported.splitlines()) == 8

    def test_importing_again_adds_nothing(self, filled: LabelStore) -> None:
        exported = export_labels(filled, DATASET)
        assert import_labels(filled, exported) == 0
        assert export_labels(filled, DATASET) == exported

    def test_what_came_later_is_added(self, filled: LabelStore, second_database: Database) -> None:
        other = LabelStore(second_database)
        import_labels(other, export_labels(filled, DATASET))
        filled.record(DATASET, [said("a", "tech")])
        assert import_labels(other, export_labels(filled, DATASET)) == 1

    def test_a_contradiction_is_refused_whole(self, filled: LabelStore) -> None:
        other = export_labels(filled, DATASET).replace(b"12.5", b"13.5").replace(b'"sami"', b'"mia"')
        with pytest.raises(UserError, match="contradicts what lena said about sample a"):
            import_labels(filled, other)
        assert "mia" not in filled.annotators(DATASET)

    @pytest.mark.parametrize("content", [b"", b"{}", b"PK\x03\x04", b'{"airlock_labels": 2, "dataset": "x"}'])
    def test_what_is_no_export_is_refused(self, filled: LabelStore, content: bytes) -> None:
        with pytest.raises(UserError, match="no export of labels"):
            import_labels(filled, content)


@pytest.mark.integration
def test_label_studio_takes_its_json_and_gives_the_same_back(
    label_studio: LabelStudioServer, labelers: tuple[Labeler, ...]
) -> None:
    config = classification("text", CLASSES)
    people = [person.email for person in labelers]
    answers = [said(name, CLASSES[n], who, lead_time=1.5) for n, name in enumerate("ab") for who in people]
    studio = Studio(label_studio.url, label_studio.token)
    project = studio.create("Round trip", config.xml, 2, "", "").id
    tasks = to_label_studio(answers, config, {"a": "A text", "b": "Another"})
    studio.push(project, tasks)
    asked = Asked(samples=("a", "b"), config=config, overlap=2, kind="label", origin="")
    read = read_snapshot(studio.snapshot(project), studio.people(), asked)
    assert read.incidents == ()
    bare = [msgspec.structs.replace(item, reference="", answered=None) for item in read.answers]
    assert sorted(bare, key=str) == sorted(answers, key=str)
    assert to_label_studio(bare, config, {"a": "A text", "b": "Another"}) == tasks
