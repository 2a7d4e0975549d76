"""Which file a rule picks: on validation samples alone, and what it says when it picks none."""

from typing import Any

import numpy as np
import pytest

from airlock.errors import UserError
from airlock.governance.evaluations import Frontier, Lost, Measured, Row
from airlock.model.compression.picture import draw
from airlock.model.compression.report import render
from airlock.model.compression.rule import Rule, best, decode_rule, judged, marked, none_passes
from airlock.model.compression.table import lost


def row(method: str, *, size: int = 100, ms: float = 1.0, test: float = 0.9, points: tuple[float, ...] = (0.0,)) -> Row:
    """Return a row with losses on the whole validation split and on slices."""
    measured = Measured(bytes=size, gzip_bytes=200 - size, accuracy=test, p50_ms=ms, p99_ms=2 * ms, peak_bytes=1 << 25)
    names = ["whole split", "dark", "faint"]
    return Row(
        method=method,
        engine="litert",
        measured=measured,
        test=[share(name, 0.0, 100) for name in names[: len(points)]],
        validation=[share(name, value, 100) for name, value in zip(names, points, strict=False)],
    )


def share(name: str, points: float, count: int) -> Lost:
    return Lost(
        slice=name,
        rule=name,
        count=count,
        accuracy=0.9,
        interval=(0.8, 0.95),
        points_lost=points,
        points_interval=(-1.0, 1.0),
    )


def choice(rows: list[Row], **rule: Any) -> str:
    found = decode_rule(rule)
    picked = best([judged(each, found) for each in rows], found)
    return picked.method if picked else "none"


def test_the_smallest_the_best_packed_or_the_fastest_is_picked() -> None:
    rows = [row("small", size=10, ms=3), row("fast", size=20, ms=1), row("packs well", size=90, ms=2)]
    assert choice(rows) == "small"
    assert choice(rows, pick="fastest") == "fast"
    assert choice(rows, pick="smallest_gzip") == "packs well"


def test_what_loses_too_much_is_not_picked_whatever_its_size() -> None:
    rows = [row("bad", size=1, points=(2.6,)), row("good", size=50, points=(2.5,))]
    assert choice(rows, max_points_lost=2.5) == "good"
    assert choice(rows, max_points_lost=2.4) == "none"


def test_test_accuracy_has_no_say() -> None:
    assert choice([row("unlucky", size=1, test=0.1), row("lucky", size=2, test=0.99)]) == "unlucky"


def test_a_slice_counts_where_the_rule_says_so_and_it_has_samples_enough() -> None:
    rows = [row("uneven", size=1, points=(0.0, 2.0)), row("even", size=2, points=(0.0, 1.0))]  # one sample
    assert choice(rows) == "uneven"
    assert choice(rows, max_slice_points_lost=1.0) == "even"
    assert choice(rows, max_slice_points_lost=1.0, min_slice_count=101) == "uneven"


def test_a_single_sample_may_be_lost_unless_there_is_something_to_gain() -> None:
    rows = [row("one flipped", points=(1.0,))]
    assert choice(rows, max_points_lost=0.5) == "one flipped"
    assert choice(rows, max_points_lost=-0.5) == "none"


def test_the_refusal_names_each_and_why() -> None:
    rule = Rule(max_points_lost=0.5)
    rows = [judged(row("bad", points=(3.0,)), rule), Row(method="odd", failed="it has no layer.")]
    assert best(rows, rule) is None
    said = str(none_passes(rows, rule))
    assert "bad loses 3.00 points on whole split (100 validation samples); odd failed: it has no layer." in said


def test_the_front_has_what_nothing_beats_in_both() -> None:
    rows = [
        row("large", size=100, test=0.9),
        row("worse", size=110, test=0.85),
        row("small", size=10, test=0.8),
        row("same", size=10, test=0.8),
        Row(method="odd", failed="no"),
    ]
    assert [each.method for each in marked(rows) if each.frontier] == ["large", "small", "same"]


def test_a_loss_has_the_interval_of_the_samples_that_flipped() -> None:
    right, were = np.array([True] * 95 + [False] * 5), np.array([True] * 94 + [False, *[True] * 4, False])
    found = lost("all", "", right, were)
    assert (found.count, found.accuracy, found.points_lost) == (100, 0.95, 3.0)
    assert found.points_interval[0] < 3.0 < found.points_interval[1]
    same = lost("all", "", right, right)
    assert same.points_lost == 0
    assert same.points_interval[0] < 0 < same.points_interval[1], "nothing flipped is no proof that nothing can"


def test_page_and_picture_escape_what_authors_wrote_and_do_without_slices() -> None:
    rows = [row("original"), row("<b>odd</b>", size=0), Row(method="gone", failed="<script>")]
    frontier = Frontier(rule="the <smallest>", rows=marked(rows))
    page = render(frontier, draw(frontier), "a & b").decode()
    assert "<b>odd" not in page
    assert "<script>" not in page
    assert "a &amp; b" in page
    assert "<h2>Slices</h2>" not in page


@pytest.mark.parametrize(
    "declared",
    [
        {"pick": "nicest"},
        {"max_points_lost": "much"},
        {"max_points": 1},
        {"max_points_lost": 101},
        {"min_slice_count": 0},
    ],
)
def test_a_rule_that_is_not_valid_is_refused(declared: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="The rule of the compression is not valid"):
        decode_rule(declared)
