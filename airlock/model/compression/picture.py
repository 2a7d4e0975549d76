"""The frontier as a picture: size against test accuracy with its interval. PNG, on white."""

from collections.abc import Sequence
from io import BytesIO

from airlock.governance.evaluations import Frontier, Row

COLOURS = {"picked": "#15803d", "frontier": "#2563eb", "other": "#a1a1aa", "missed": "#b91c1c"}


def draw(frontier: Frontier) -> bytes:
    """Return the picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=110, facecolor="white", layout="constrained")
    axes = figure.subplots()
    shown = [row for row in frontier.rows if row.measured]
    for row in shown:
        _point(axes, row, original=row is frontier.rows[0])
    _front(axes, [row for row in shown if row.frontier])
    axes.set_xscale("log")
    axes.set(xlabel="file in KiB", ylabel="accuracy on the test samples, 95 %", title="Size against accuracy")
    axes.grid(visible=True, which="both", alpha=0.25)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _point(axes: object, row: Row, original: bool) -> None:
    assert row.measured is not None
    whole = row.test[0]
    kind = "picked" if row.picked else "missed" if row.misses else "frontier" if row.frontier else "other"
    size, reached = row.measured.bytes / 1024, whole.accuracy
    around = [[reached - whole.interval[0]], [whole.interval[1] - reached]]
    marker = "s" if original else "o"
    axes.errorbar([size], [reached], yerr=around, fmt=marker, color=COLOURS[kind], capsize=3)  # type: ignore[attr-defined]
    axes.annotate(  # type: ignore[attr-defined]
        f"{row.method} ✓" if row.picked else row.method, (size, reached), xytext=(5, 4), textcoords="offset points",
        fontsize=7, color=COLOURS[kind],
    )  # fmt: skip


def _front(axes: object, rows: Sequence[Row]) -> None:
    points = sorted((row.measured.bytes / 1024, row.measured.accuracy) for row in rows if row.measured)
    if points:
        sizes, reached = zip(*points, strict=True)
        axes.step(sizes, reached, where="post", color=COLOURS["frontier"], alpha=0.5, label="Pareto front")  # type: ignore[attr-defined]
        axes.legend(loc="lower right")  # type: ignore[attr-defined]
