"""Labels: every answer kept, one label resolved, nothing overwritten."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from airlock.errors import IntegrityError
from airlock.references import DatasetVersion, LabelSet
from airlock.stores.database import Database
from airlock.stores.labels import Answer, LabelStore

DATASET = DatasetVersion(name="d", version=1, digest="sha256:" + "d" * 64, rows=3)


def answer(sample_id: str, label: str, annotator: str = "source") -> Answer:
    return Answer(sample_id=sample_id, annotator=annotator, label=label, origin="test")


@pytest.fixture
def labels(database: Database) -> LabelStore:
    return LabelStore(database)


class TestRecording:
    def test_a_changed_mind_keeps_the_first_answer(self, labels: LabelStore) -> None:
        for label in ("cat", "dog", "cat"):
            assert labels.record(DATASET.digest, [answer("a", label, "lena")]) == 1
        assert [item.label for item in labels.answers(DATASET.digest, "a")] == ["cat", "dog", "cat"]
        assert labels.read(labels.resolve(DATASET)) == {"a": "cat"}

    def test_the_same_again_adds_nothing_also_at_once(self, labels: LabelStore) -> None:
        same = [answer("a", "cat"), answer("b", "dog")]
        with ThreadPoolExecutor(4) as pool:
            counts = list(pool.map(lambda _: labels.record(DATASET.digest, same), range(4)))
        assert sorted(counts) == [0, 0, 0, 2]

    @pytest.mark.parametrize("statement", ["UPDATE {} SET label = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
    @pytest.mark.parametrize("table", ["airlock.label_answer", "airlock.label_entry"])
    def test_the_application_role_cannot_overwrite(self, database: Database, statement: str, table: str) -> None:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege), database.transaction() as cursor:
            cursor.execute(statement.format(table))


class TestAnnotators:
    def test_are_everybody_who_ever_labelled_this_version(self, labels: LabelStore) -> None:
        """Four eyes keep them out, so one who changed their mind or was outvoted counts too."""
        labels.record(DATASET.digest, [answer("a", "cat"), answer("a", "cat", "sami"), answer("b", "dog", "lena")])
        labels.record(DATASET.digest, [answer("a", "dog", "lena"), answer("a", "cat", "lena")])
        labels.record("sha256:" + "e" * 64, [answer("a", "cat", "otto")])
        assert labels.annotators(DATASET.digest) == ["lena", "sami", "source"]

    def test_of_a_version_without_labels_are_none(self, labels: LabelStore) -> None:
        assert labels.annotators(DATASET.digest) == []


class TestResolving:
    def test_the_majority_wins_and_a_tie_is_left_out(self, labels: LabelStore) -> None:
        labels.record(DATASET.digest, [answer("a", "cat"), answer("b", "dog"), answer("c", "cat")])
        labels.record(DATASET.digest, [answer("a", "dog", "lena"), answer("b", "dog", "lena")])
        labels.record(DATASET.digest, [answer("b", "cat", "otto")])
        found = labels.resolve(DATASET)
        assert (found.rows, labels.read(found)) == (2, {"b": "dog", "c": "cat"})

    def test_the_same_labels_are_the_same_set_whatever_the_order(self, labels: LabelStore) -> None:
        other = DatasetVersion(name="d", version=2, digest="sha256:" + "e" * 64, rows=3)
        labels.record(DATASET.digest, [answer("a", "cat"), answer("b", "dog")])
        labels.record(other.digest, [answer("b", "dog"), answer("a", "cat")])
        first, second = labels.resolve(DATASET), labels.resolve(other)
        assert (first.digest, second.dataset) == (second.digest, other.digest)
        assert labels.resolve(DATASET) == first
        labels.verify(second)

    def test_no_answers_make_an_empty_set(self, labels: LabelStore) -> None:
        found = labels.resolve(DATASET)
        assert (found.rows, labels.read(found)) == (0, {})

    def test_fifty_thousand_labels_take_seconds(self, labels: LabelStore) -> None:
        many = [answer(f"{number:064x}", str(number % 10)) for number in range(50_000)]
        started = time.perf_counter()
        labels.record(DATASET.digest, many)
        found = labels.resolve(DATASET)
        assert len(labels.read(found)) == 50_000
        took = time.perf_counter() - started
        print(f"50000 labels recorded, resolved and read in {took:.1f} s")
        assert took < 60


class TestWhenALabelSetIsNotWhatItWas:
    def test_an_altered_label_is_noticed(self, labels: LabelStore, superuser: Database) -> None:
        labels.record(DATASET.digest, [answer("a", "cat")])
        found = labels.resolve(DATASET)
        with superuser.transaction() as cursor:
            cursor.execute("UPDATE airlock.label_entry SET label = 'dog'")
        for check in (labels.read, labels.verify):
            with pytest.raises(IntegrityError, match="was altered"):
                check(found)

    def test_a_set_that_is_not_there_is_named(self, labels: LabelStore) -> None:
        with pytest.raises(IntegrityError, match="Label set ffffffffffff is not in the store"):
            labels.read(LabelSet(digest="sha256:" + "f" * 64, dataset=DATASET.digest, rows=1))
