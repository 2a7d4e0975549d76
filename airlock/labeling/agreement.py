"""How much annotators agree beyond chance: Krippendorff's alpha, Fleiss' and Cohen's kappa, each by a library."""

import warnings
from collections import Counter
from collections.abc import Iterable
from itertools import combinations

import msgspec

from airlock.stores.labels import Answer

PAIRS = 50


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of agreement; ``None`` where they are not defined, for example when only one label was ever given.

    :param raw: share of pairs of answers about the same sample that are equal, 0 to 1.
    :param alpha: Krippendorff's, for any number of annotators and missing answers.
    :param fleiss: Fleiss' kappa over the samples that have the most usual number of answers.
    :param cohen: Cohen's kappa of each pair of annotators, ``a | b``.
    :param samples: with two answers or more.
    """

    raw: float | None
    alpha: float | None
    fleiss: float | None
    cohen: dict[str, float | None]
    samples: int


def agreement(answers: Iterable[Answer]) -> Agreement:
    """Compute every figure.

    :param answers: at most one for each annotator and sample.
    """
    said: dict[str, dict[str, str]] = {}
    for answer in answers:
        said.setdefault(answer.sample_id, {})[answer.annotator] = answer.label
    shared = {sample_id: by for sample_id, by in said.items() if len(by) > 1}
    return Agreement(
        raw=_raw(shared), alpha=_alpha(shared), fleiss=_fleiss(shared), cohen=_cohen(shared), samples=len(shared)
    )


Said = dict[str, dict[str, str]]


def _raw(said: Said) -> float | None:
    equal = [one == other for by in said.values() for one, other in combinations(by.values(), 2)]
    return sum(equal) / len(equal) if equal else None


def _alpha(said: Said) -> float | None:
    import krippendorff
    import numpy as np

    labels = sorted({label for by in said.values() for label in by.values()})
    if len(labels) < 2:
        return None
    counts = np.zeros((len(said), len(labels)))
    for row, by in enumerate(said.values()):
        for label in by.values():
            counts[row, labels.index(label)] += 1
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def _fleiss(said: Said) -> float | None:
    from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

    if not said:
        return None
    usual = Counter(len(by) for by in said.values()).most_common(1)[0][0]
    rows = [list(by.values()) for by in said.values() if len(by) == usual]
    if len({label for row in rows for label in row}) < 2:
        return None
    table, _ = aggregate_raters(rows)
    return _number(fleiss_kappa(table))


def _cohen(said: Said) -> dict[str, float | None]:
    from sklearn.metrics import cohen_kappa_score

    people = Counter(name for by in said.values() for name in by)
    found = {}
    for one, other in list(combinations(sorted(name for name, _ in people.most_common()), 2))[:PAIRS]:
        both = [(by[one], by[other]) for by in said.values() if one in by and other in by]
        if both:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of only one label: that is what None says
                found[f"{one} | {other}"] = _number(cohen_kappa_score(*zip(*both, strict=True)))
    return found


def _number(value: float) -> float | None:
    return float(value) if value == value else None  # NaN: not defined
