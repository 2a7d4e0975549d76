"""The scoring store on a real PostgreSQL: once each, joined with what turned out to be true, and only ever added to."""

import time
from typing import Any

import pytest

from airlock.errors import UserError
from airlock.stores.database import Database
from airlock.stores.scoring import Scored, Scoring, Told

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture
def scoring(database: Database) -> Scoring:
    return Scoring(database)


def scored(name: str, **changes: Any) -> Scored:
    fields: dict[str, Any] = {"id": name, "time": 100.0, "input": "sha256:i", "outputs": {"label": "left"},
                              "label": "left", "probability": 0.9, "latency": 0.002, "status": 200}  # fmt: skip
    return Scored(**fields | changes)


def told(name: str, truth: Any, at: float = 200.0, word: str = "") -> Told:
    return Told(id=word or f"{name}-{truth}-{at}", prediction=name, truth=truth, time=at)


def test_what_is_added_twice_is_there_once(scoring: Scoring) -> None:
    rows = [scored(f"p{number}") for number in range(2500)]
    truths = [told("p0", "left")]
    assert scoring.add("shapes", OLD, rows, truths) == 2501
    assert scoring.add("shapes", OLD, rows[:2], truths) == 0
    assert len(scoring.predictions("shapes")) == 2500


def test_last_word_about_the_truth_counts(scoring: Scoring) -> None:
    scoring.add("shapes", OLD, [scored("p")], [told("p", "right", 300.0), told("p", "left", 200.0)])
    (found,) = scoring.predictions("shapes")
    assert (found.truth, found.truth_time) == ("right", 300.0)


def test_truth_may_come_before_its_prediction_and_from_no_other_use_case(scoring: Scoring) -> None:
    scoring.add("shapes", OLD, [], [told("p", "left")])
    scoring.add("others", OLD, [], [told("p", "right", 900.0)])
    scoring.add("shapes", OLD, [scored("p")])
    assert scoring.predictions("shapes")[0].truth == "left"


def test_predictions_are_found_by_release_and_time(scoring: Scoring) -> None:
    scoring.add("shapes", OLD, [scored("p1", time=1.0), scored("p2", time=2.0)])
    scoring.add("shapes", NEW, [scored("p3", time=3.0)])
    scoring.add("others", OLD, [scored("p4", time=2.0)])

    def names(**wanted: Any) -> list[str]:
        return [found.id for found in scoring.predictions("shapes", **wanted)]

    assert names() == ["p3", "p2", "p1"]
    assert names(manifest=OLD, since=2.0) == ["p2"]
    assert names(since=1.0, until=3.0, limit=1) == ["p2"]


def test_counts_say_how_often_a_release_was_right(scoring: Scoring) -> None:
    rows = [scored("p1"), scored("p2"), scored("p3"), scored("p4", label=None, outputs=None)]
    scoring.add("shapes", OLD, rows, [told("p1", "left"), told("p2", "right")])
    counts = {count.label: (count.predictions, count.known, count.right) for count in scoring.counts("shapes")}
    assert counts == {"left": (3, 2, 1), None: (1, 0, 0)}


def test_value_that_postgresql_cannot_hold_is_refused_and_nothing_of_its_batch_is_added(scoring: Scoring) -> None:
    with pytest.raises(UserError, match="cannot be stored"):
        scoring.add("shapes", OLD, [scored("p1"), scored("p2", outputs={"label": "\0"})])
    assert scoring.predictions("shapes") == []


@pytest.mark.parametrize("table", ["prediction", "prediction_truth"])
@pytest.mark.parametrize(
    "statement", ["DELETE FROM airlock.{}", "UPDATE airlock.{} SET time = 0", "TRUNCATE airlock.{}"]
)
def test_application_cannot_change_history(database: Database, table: str, statement: str) -> None:
    from psycopg2.errors import InsufficientPrivilege

    with pytest.raises(InsufficientPrivilege), database.transaction() as cursor:
        cursor.execute(statement.format(table))


def test_ten_thousand_rows_are_added_in_seconds(scoring: Scoring) -> None:
    started = time.monotonic()
    assert scoring.add("shapes", OLD, [scored(f"p{number}") for number in range(10_000)]) == 10_000
    seconds = time.monotonic() - started
    print(f"10,000 predictions stored in {seconds:.1f} s")
    assert seconds < 30
