"""Is a canary worse than the champion? From the counts of both, and no surer than these allow.

What looks worse is held against a canary only if chance would make it look so less often than ``risk``, over all
looks of a rollout together (Bonferroni's bound): few requests condemn what is plainly broken, and nothing else. A
canary that was not condemned was not proved equal; the figures say how far apart the two may still be.
"""

from math import inf, log
from typing import Any

from airlock.deployment.figures import Figures
from airlock.deployment.plan import Plan
from airlock.governance.statistics import wilson

TESTS = 4  # errors, median, 99th percentile, drift
FIRST_LOOK = 8
RESAMPLES = 9999
ENOUGH = 5  # expected in every cell, for the chi-square distribution to hold (Cochran's rule)


class Judge:
    """Compares a canary with the champion.

    :param plan: says how much worse is too much.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.alpha = 0.0

    def worse(self, champion: Figures, canary: Figures, look: int, inputs: int = 0) -> list[str]:
        """Return in what the canary is worse, in words; empty when nothing shows it.

        :param look: counts the looks of a step from 1; the n-th may spend 1/n - 1/(n + 1) of the step's risk, so that
            there may be as many as it takes.
        :param inputs: how many different ones were asked about again and again; 0 when none was. Labels then say no
            more than so many requests: a network that answers one of them otherwise does so each time.
        """
        self.alpha = self.plan.risk / (TESTS * len(self.plan.shares)) / (look * (look + 1))
        found = [self._errors(champion, canary), self._drift(champion, canary, inputs)]
        found += [self._slow(champion, canary, quantile) for quantile in (0.5, 0.99)]
        return [reason for reason in found if reason]

    def _errors(self, champion: Figures, canary: Figures) -> str:
        from scipy.stats import binomtest, fisher_exact

        rate, before = (each.errors / max(1, each.requests) for each in (canary, champion))
        if not canary.requests or 100 * (rate - before) <= self.plan.max_error_points:
            return ""
        if champion.requests:
            table = [[each.errors, each.requests - each.errors] for each in (canary, champion)]
            chance = fisher_exact(table, alternative="greater").pvalue
        else:
            allowed = self.plan.max_error_points / 100
            chance = binomtest(canary.errors, canary.requests, allowed, alternative="greater").pvalue
        return f"{rate:.1%} errors against {before:.1%}" if chance < self.alpha else ""

    def _slow(self, champion: Figures, canary: Figures, quantile: float) -> str:
        """Sign test of a quantile: when it were within the limit, no more than ``1 - quantile`` would be slower."""
        from scipy.stats import binomtest

        allowed = max(self.plan.max_latency_ratio * champion.quantile(quantile), self.plan.latency_floor_ms / 1000)
        bound = min((bound for bound in canary.buckets if bound >= allowed), default=inf)
        count, slow = canary.buckets.get(inf, 0), canary.slower(bound)
        if bound == inf or not count or not champion.requests:
            return ""
        if binomtest(slow, count, 1 - quantile, alternative="greater").pvalue >= self.alpha:
            return ""
        took, before = (1000 * each.quantile(quantile) for each in (canary, champion))
        return f"p{quantile * 100:.0f} {took:.0f} ms against {before:.0f} ms"

    def _drift(self, champion: Figures, canary: Figures, inputs: int) -> str:
        from numpy.random import default_rng
        from scipy.stats import MonteCarloMethod, chi2_contingency
        from scipy.stats.contingency import expected_freq

        index = stability(champion.answers, canary.answers)
        if index <= self.plan.max_drift:
            return ""
        told = [_at_most(each.answers, inputs) for each in (champion, canary)]
        labels = sorted(label for label in told[0].keys() | told[1].keys()
                        if told[0].get(label, 0) + told[1].get(label, 0))  # fmt: skip
        table = [[counts.get(label, 0) for label in labels] for counts in told]
        if len(labels) < 2 or not all(sum(counts) for counts in table):  # so few inputs say nothing
            return ""
        few = expected_freq(table).min() < ENOUGH
        method = MonteCarloMethod(n_resamples=RESAMPLES, rng=default_rng(0)) if few else None
        chance = chi2_contingency(table, correction=False, method=method).pvalue
        return f"other labels are predicted: stability index {index:.2f}" if chance < self.alpha else ""


def _at_most(counts: dict[str, int], number: int) -> dict[str, int]:
    """Return counts in the same proportions that are no more than a number together; 0 for all there are."""
    total = sum(counts.values())
    return {label: round(count * number / total) for label, count in counts.items()} if 0 < number < total else counts


def stability(expected: dict[str, int], found: dict[str, int]) -> float:
    """Return the population stability index of two counts of labels; 0 when one of them is empty.

    The symmetric Kullback-Leibler divergence of the shares, half a count added to each (Jeffreys, H. (1946): An
    invariant form for the prior probability in estimation problems. Proceedings of the Royal Society A 186, 453-461);
    in credit scoring above 0.25 counts as a shift.
    """
    if not sum(expected.values()) or not sum(found.values()):
        return 0.0
    labels = expected.keys() | found.keys()
    totals = [sum(counts.values()) + len(labels) / 2 for counts in (expected, found)]
    shares = [[(counts.get(label, 0) + 0.5) / total for label in labels]
              for counts, total in zip((expected, found), totals, strict=True)]  # fmt: skip
    return float(sum((new - old) * log(new / old) for old, new in zip(*shares, strict=True)))


def in_figures(champion: Figures, canary: Figures) -> dict[str, Any]:
    """Return what a decision rests on, for a record."""
    total = champion.requests + canary.requests
    return {
        "share": round(canary.requests / total, 4) if total else 0.0,
        "drift": round(stability(champion.answers, canary.answers), 4),
        "champion": _one(champion),
        "canary": _one(canary),
    }


def _one(figures: Figures) -> dict[str, Any]:
    return {
        "requests": figures.requests,
        "errors": figures.errors,
        "error_rate_95": list(wilson(figures.errors, figures.requests) or ()),
        "p50_ms": round(1000 * figures.quantile(0.5), 2),
        "p99_ms": round(1000 * figures.quantile(0.99), 2),
        "answers": dict(sorted(figures.answers.items())),
    }
