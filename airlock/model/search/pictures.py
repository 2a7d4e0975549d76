"""A search in pictures: how it went, every trial's curve, what matters, and what was tried where. PNG, on white."""

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from airlock.governance.searches import SearchSummary, TrialFigures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"complete": "#2563eb", "pruned": "#a1a1aa", "failed": "#b91c1c"}
BEST = "#15803d"
MOST_SLICES = 12


def draw(summary: SearchSummary) -> dict[str, bytes]:
    """Return the pictures by name; one that there is too little for is left out."""
    drawn = {
        "history": (_history, any(trial.value is not None for trial in summary.trials)),
        "curves": (_curves, any(trial.curve for trial in summary.trials)),
        "importance": (_importance, bool(summary.importance)),
        "slices": (_slices, any(trial.value is not None for trial in summary.trials)),
    }
    return {name: _png(plot, summary) for name, (plot, possible) in drawn.items() if possible}


def _png(plot: "Callable[[Figure, SearchSummary], None]", summary: SearchSummary) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=110, facecolor="white", layout="constrained")
    plot(figure, summary)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _history(figure: "Figure", summary: SearchSummary) -> None:
    """Each complete trial's value, and the best one so far."""
    from matplotlib.ticker import MaxNLocator

    axes = figure.subplots()
    complete = [trial for trial in summary.trials if trial.value is not None]
    values = [trial.value for trial in complete if trial.value is not None]
    better: Callable[[Sequence[float]], float] = min if summary.direction == "minimize" else max
    numbers = [trial.number for trial in complete]
    axes.scatter(numbers, values, color=COLOURS["complete"], label="complete trial")
    axes.step(
        numbers, [better(values[: end + 1]) for end in range(len(values))], where="post", color=BEST, label="best"
    )
    axes.set(xlabel="trial", ylabel=summary.metric, title="Optimisation history")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()


def _curves(figure: "Figure", summary: SearchSummary) -> None:
    from matplotlib.ticker import MaxNLocator

    axes = figure.subplots()
    for trial in sorted(summary.trials, key=lambda trial: trial.number == summary.best):
        if not trial.curve:
            continue
        best = trial.number == summary.best
        epochs, values = zip(*trial.curve, strict=True)
        axes.plot(epochs, values, color=BEST if best else COLOURS[trial.state], linewidth=2 if best else 1)
        axes.plot(epochs[-1], values[-1], "o" if trial.state == "complete" else "x", color=COLOURS[trial.state])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel=summary.metric, title="Curves: best green, stopped grey ×, failed red ×")


def _importance(figure: "Figure", summary: SearchSummary) -> None:
    axes = figure.subplots()
    shares = list(reversed(summary.importance.items()))
    axes.barh([name for name, _ in shares], [share for _, share in shares], color=COLOURS["complete"])
    axes.set(xlabel=f"share in the variance of {summary.metric}", title="Importance of the parameters (PED-ANOVA)")


def _slices(figure: "Figure", summary: SearchSummary) -> None:
    """The last value of every trial over each of its parameters."""
    names = list(dict.fromkeys(name for trial in summary.trials for name in trial.parameters))[:MOST_SLICES]
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    figure.set_size_inches(8, 2.6 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, name in zip(grid.flat, names, strict=False):
        _slice(axes, name, [trial for trial in summary.trials if trial.curve and name in trial.parameters])
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    grid[0][0].set_ylabel(summary.metric)


def _slice(axes: "Axes", name: str, trials: Sequence[TrialFigures]) -> None:
    values: list[Any] = [trial.parameters[name] for trial in trials]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if not numeric:
        values = [str(value) for value in values]
    colours = [COLOURS[trial.state] for trial in trials]
    reached = [trial.curve[-1][1] if trial.value is None else trial.value for trial in trials]
    axes.scatter(values, reached, c=colours, s=14)
    if numeric and values and min(values) > 0 and max(values) / min(values) >= 30:
        axes.set_xscale("log")
    axes.set_xlabel(name)
