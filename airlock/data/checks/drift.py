"""Drift: whether a dataset version is distributed as the one before."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from airlock.data.checks.declaration import Drift
from airlock.data.checks.finding import Finding
from airlock.data.checks.subject import Previous, Subject
from airlock.data.validation.verdict import Plot
from airlock.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Every sample has its own: nothing to compare.
OWN = {"sample_id", "source", "group"}
BINS, KINDS = 10, 50
FLOOR = 1e-4


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """How a column changed.

    :param psi: population stability index.
    :param statistic: Kolmogorov-Smirnov's D for numbers, chi-squared for words.
    :param p: probability of a statistic like that without a change.
    """

    column: str
    psi: float
    test: str
    statistic: float
    p: float
    plot: Plot

    def __str__(self) -> str:
        return f"{self.column} PSI {self.psi:.3g}, {self.test} {self.statistic:.3g} (p={self.p:.2g})"


def drift(check: Drift, subject: Subject) -> Finding:
    """Compare every column with the version before; without one there is nothing to drift from.

    :raises UserError: a column that is named is not in both versions.
    """
    rule = f"No column changed by a PSI above {check.max_psi:g} since the version before"
    if subject.previous is None:
        return Finding(success=True, rule=rule, observed="there is no version before", figure=0.0)
    now, before = subject.frame, subject.previous.frame
    columns = _columns(check, now, subject.previous)
    changes = [change for name in columns if (change := compare(name, before[name], now[name]))]
    # Bonferroni: with many columns one of them always looks unusual.
    alpha = check.alpha / max(len(changes), 1)
    drifted = [change for change in changes if change.psi > check.max_psi and change.p < alpha]
    shown = sorted(drifted or changes, key=lambda change: -change.psi)
    told = "; ".join(map(str, shown[:5])) or "no column can be compared"
    return Finding(
        success=not drifted,
        rule=rule,
        observed=f"against {subject.previous.title}: {told}",
        figure=max((change.psi for change in changes), default=0.0),
        plots=tuple(change.plot for change in shown),
    )


def compare(name: str, before: "pd.Series", now: "pd.Series") -> Change | None:
    """Compare two samples of a column; ``None`` when there is nothing to compare."""
    import pandas as pd

    before, now = before.dropna(), now.dropna()
    if before.empty or now.empty:
        return _vanished(name, before, now)
    if pd.api.types.is_numeric_dtype(before) and pd.api.types.is_numeric_dtype(now):
        return _numbers(name, before.to_numpy(float), now.to_numpy(float))
    return _words(name, before.astype(str), now.astype(str))


def _columns(check: Drift, now: "pd.DataFrame", previous: Previous) -> list[str]:
    both = [name for name in now.columns if name in previous.frame.columns and name not in OWN]
    if missing := [name for name in check.columns if name not in both]:
        raise UserError(
            f"The check drift looks at {missing[0]!r}, which is no column of both this version and {previous.title}.",
            hint=f"Columns of both: {', '.join(both)}.",
        )
    return list(check.columns) or both


def _numbers(name: str, before: "np.ndarray", now: "np.ndarray") -> Change:
    import numpy as np
    from scipy import stats

    inner = _edges(before, now)
    shares = [
        np.bincount(np.searchsorted(inner, part, "right"), minlength=len(inner) + 1) / len(part)
        for part in (before, now)
    ]
    found = stats.ks_2samp(before, now, method="asymp")
    names = (f"< {inner[0]:.4g}", *(f"{low:.4g} to {high:.4g}" for low, high in pairwise(inner)))
    plot = _plot(name, (*names, f">= {inner[-1]:.4g}"), shares[0], shares[1])
    return Change(
        column=name,
        psi=psi(shares[0], shares[1]),
        test="KS",
        statistic=float(found.statistic),
        p=float(found.pvalue),
        plot=plot,
    )


def _edges(before: "np.ndarray", now: "np.ndarray") -> "np.ndarray":
    """Return what divides the bins: deciles of what was, or every value where there are few."""
    import numpy as np

    deciles = np.unique(np.quantile(before, np.linspace(0, 1, BINS + 1)))
    values = np.unique(np.concatenate([before, now]))
    if len(values) <= KINDS and len(deciles) <= BINS:
        return values[1:] if len(values) > 1 else values
    if len(deciles) == 1:
        return np.array([deciles[0], np.nextafter(deciles[0], np.inf)])
    return deciles[1:-1] if len(deciles) > 2 else deciles[1:]


def _words(name: str, before: "pd.Series", now: "pd.Series") -> Change | None:
    import numpy as np
    from scipy import stats

    counts = [part.value_counts() for part in (before, now)]
    names = sorted({*counts[0].index, *counts[1].index}, key=lambda word: (-counts[0].get(word, 0), word))
    if len(names) > KINDS:  # names, paths, free text: every version has new ones
        return None
    table = np.array([[count.get(word, 0) for word in names] for count in counts], float)
    shares = table / table.sum(axis=1, keepdims=True)
    found = stats.chi2_contingency(table) if len(names) > 1 else None
    return Change(
        column=name,
        psi=psi(shares[0], shares[1]),
        test="chi2",
        statistic=float(found.statistic) if found else 0.0,
        p=float(found.pvalue) if found else 1.0,
        plot=_plot(name, tuple(names), shares[0], shares[1]),
    )


def _vanished(name: str, before: "pd.Series", now: "pd.Series") -> Change | None:
    """A column that has values in one version only has changed altogether."""
    if before.empty and now.empty:
        return None
    import numpy as np

    there = np.array([0.0, 1.0]), np.array([1.0, 0.0])
    first, second = there if now.empty else there[::-1]
    plot = _plot(name, ("null", "some value"), first, second)
    return Change(column=name, psi=psi(first, second), test="null", statistic=1.0, p=0.0, plot=plot)


def psi(before: "np.ndarray", now: "np.ndarray") -> float:
    """Return the population stability index of two distributions over the same bins."""
    import numpy as np

    a, b = np.maximum(before, FLOOR), np.maximum(now, FLOOR)
    value = float(((b - a) * np.log(b / a)).sum())
    return value if math.isfinite(value) else math.inf


def _plot(title: str, names: tuple[str, ...], before: "np.ndarray", now: "np.ndarray") -> Plot:
    return Plot(title=title, names=names, before=tuple(before.tolist()), now=tuple(now.tolist()))
