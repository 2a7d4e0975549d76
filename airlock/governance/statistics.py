"""How sure figures are, without numpy: the API server renders evidence too, and must find the same digits."""

import math

from airlock.governance.evaluations import Interval

Z = 1.959963984540054  # the normal distribution's 97.5 % quantile


def wilson(hits: int, count: int) -> Interval | None:
    """Return the 95 % score interval of a share; ``None`` without samples.

    Wilson, E. B. (1927): Probable inference, the law of succession, and statistical inference. Journal of the
    American Statistical Association 22, 209-212. It stays inside 0 and 1 and holds for few samples and shares near 1.
    """
    if not count:
        return None
    share, square = hits / count, Z * Z / count
    middle = (share + square / 2) / (1 + square)
    half = Z * math.sqrt((share * (1 - share) + square / 4) / count) / (1 + square)
    return round(max(0.0, middle - half), 6), round(min(1.0, middle + half), 6)


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: samples only one of two models answers right.

    When both are equally good, each such sample is either's with probability 1/2, which makes the count binomial.
    McNemar, Q. (1947): Note on the sampling error of the difference between correlated proportions or percentages.
    Psychometrika 12, 153-157; exact form and its use for classifiers: Dietterich, T. G. (1998): Approximate
    statistical tests for comparing supervised classification learning algorithms. Neural Computation 10, 1895-1923.
    In whole numbers, so that every machine finds the same.
    """
    count = gained + lost
    term = tail = 1
    for k in range(min(gained, lost)):
        term = term * (count - k) // (k + 1)
        tail += term
    return min(1.0, 2 * tail / (1 << count))


def paired_difference(gained: int, lost: int, count: int) -> Interval:
    """Return the 95 % interval of the difference between two models' accuracy on the same samples.

    Wald's interval after half a sample was added to each of the four cells: Agresti, A., Min, Y. (2005): Simple
    improved confidence intervals for comparing matched proportions. Statistics in Medicine 24, 729-740.
    """
    n, b, c = count + 2, gained + 0.5, lost + 0.5
    middle = (b - c) / n
    half = Z * math.sqrt(b + c - (b - c) ** 2 / n) / n
    return round(max(-1.0, middle - half), 6), round(min(1.0, middle + half), 6)
