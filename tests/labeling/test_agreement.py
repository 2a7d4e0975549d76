"""Agreement against figures that were published or can be counted by hand."""

import pytest

from airlock.labeling.agreement import Agreement, agreement
from airlock.stores.labels import Answer


def of(*rows: str) -> Agreement:
    """Agreement of annotators, each a row with one letter for each sample; a dot is no answer."""
    answers = [
        Answer(sample_id=f"{place}", annotator=f"{who}", label=label, kind="label")
        for who, row in enumerate(rows)
        for place, label in enumerate(row)
        if label != "."
    ]
    return agreement(answers)


def test_krippendorffs_own_example() -> None:
    """K. Krippendorff, *Computing Krippendorff's Alpha-Reliability* (2011), part C: nominal, 0.743."""
    found = of("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
    assert found.alpha == pytest.approx(0.743, abs=0.0005)


def test_two_annotators_by_hand() -> None:
    """20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: Cohen's kappa is 0.4."""
    found = of("y" * 25 + "n" * 25, "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15)
    assert found.cohen == {"0 | 1": pytest.approx(0.4)}
    assert found.raw == pytest.approx(0.7)


def test_fleiss_takes_the_samples_with_the_usual_number_of_answers() -> None:
    assert of("aab", "aab", "aab").fleiss == pytest.approx(1.0)
    assert of("aabb", "aab.", "aaba").fleiss == pytest.approx(1.0)


@pytest.mark.parametrize("rows", [(), ("ab",), ("aa", "aa")], ids=["nobody", "one person", "one label"])
def test_what_is_not_defined_is_none(rows: tuple[str, ...]) -> None:
    found = of(*rows)
    assert (found.alpha, found.fleiss) == (None, None)
