"""Whether a canary is worse, from counts: what is plain is found early, chance is not mistaken for it."""

from math import inf
from random import Random

import pytest

from airlock.deployment.figures import Figures, parse
from airlock.deployment.judgement import Judge, in_figures, stability
from airlock.deployment.metrics import BUCKETS, Metrics
from airlock.deployment.plan import Plan

PLAN = Plan()


def drawn(random: Random, number: int, errors: float = 0.01, median: float = 0.004, first: float = 0.5) -> Figures:
    """Figures of a server that errs so often, answers so fast, and says ``a`` so often."""
    metrics = Metrics("m")
    for _ in range(number):
        failed = random.random() < errors
        metrics.observe("/predict", 500 if failed else 200, random.lognormvariate(0, 0.5) * median)
        metrics.answered([] if failed else ["a" if random.random() < first else "b"], 0 if failed else 1)
    return parse(metrics.text(True, {}))


def found(canary: Figures, champion: Figures, look: int = 4) -> str:
    return "; ".join(Judge(PLAN).worse(champion, canary, look))


class TestACanary:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [({"errors": 0.4}, "errors against"), ({"median": 0.1}, "p50"), ({"first": 0.05}, "other labels")],
    )
    def test_that_is_worse_is_found_in_fifty(self, changes: dict[str, float], reason: str) -> None:
        random = Random(1)
        champion = drawn(random, 950)
        assert reason in found(drawn(random, 50, **changes), champion)

    def test_that_always_fails_is_found_in_eight(self) -> None:
        random = Random(2)
        assert "100.0% errors against" in found(drawn(random, 8, errors=1.0), drawn(random, 150), look=1)

    def test_that_is_slow_at_times_only_is_found_by_its_tail(self) -> None:
        random = Random(3)
        canary = drawn(random, 80).plus(drawn(random, 20, median=0.5))
        assert found(canary, drawn(random, 900)).startswith("p99 ")

    def test_that_is_as_good_is_rolled_back_by_chance_less_often_than_the_risk(self) -> None:
        random, rolled_back = Random(4), 0
        for _ in range(100):
            champion, canary, reasons = Figures(), Figures(), ""
            for look, number in enumerate((8, 8, 16, 18), 1):
                canary, champion = canary.plus(drawn(random, number)), champion.plus(drawn(random, 4 * number))
                reasons += found(canary, champion, look)
            rolled_back += bool(reasons)
        assert rolled_back <= 5

    @pytest.mark.parametrize("number", [0, 1, 3])
    def test_of_which_nearly_nothing_is_known_is_not_condemned(self, number: int) -> None:
        random = Random(5)
        assert found(drawn(random, number, first=0.0), drawn(random, 50)) == ""

    def test_without_a_champion_to_compare_with_is_judged_by_its_errors(self) -> None:
        assert found(drawn(Random(6), 50, errors=0.0), Figures()) == ""
        assert "errors" in found(drawn(Random(6), 50, errors=0.5), Figures())


class TestFigures:
    def test_are_those_of_predictions(self) -> None:
        metrics = Metrics("m")
        for route, status, seconds in (
            ("/predict", 200, 0.003), ("/v2/models/{name}/infer", 422, 0.02), ("/v2/health/ready", 503, 3.0),
        ):  # fmt: skip
            metrics.observe(route, status, seconds)
        metrics.answered(['a "quoted" label', "b"], 2)
        read = parse(metrics.text(True, {}))
        assert (read.requests, read.errors, sum(read.answers.values())) == (2, 1, 2)
        assert (read.slower(0.005), read.slower(0.025), read.slower(inf)) == (1, 0, 0)
        assert parse(metrics.text(True, {}) * 2).requests == 4, "Of several servers: added up."

    def test_of_a_server_that_started_again_count_from_nothing(self) -> None:
        before, after = drawn(Random(1), 40), drawn(Random(2), 10)
        assert after.since(before) == after
        assert after.plus(before).since(before) == after

    def test_have_quantiles_as_good_as_the_buckets(self) -> None:
        figures = drawn(Random(7), 2000, median=0.02)
        assert figures.quantile(0.5) == pytest.approx(0.02, rel=0.25)
        assert 0.05 < figures.quantile(0.99) < 0.1
        assert Figures().quantile(0.5) == 0.0
        assert set(figures.buckets) == {*BUCKETS, inf}

    def test_are_told_with_what_they_do_not_rule_out(self) -> None:
        told = in_figures(drawn(Random(8), 950), drawn(Random(9), 50, errors=0.0))
        assert told["share"] == 0.05
        assert told["canary"]["error_rate_95"] == [0.0, pytest.approx(0.071, abs=0.001)]

    def test_that_are_equal_are_stable(self) -> None:
        assert stability({"a": 50, "b": 50}, {"a": 50, "b": 50}) == 0.0
        assert stability({"a": 50, "b": 50}, {"a": 95, "b": 5}) > 1
        assert stability({}, {"a": 1}) == 0.0


class TestTheSameFewInputsAgainAndAgain:
    """Where nobody asks, a package's samples are repeated: each is answered alike each time."""

    CHAMPION = Figures(requests=760, answers={str(label): 76 for label in range(10)})

    def test_three_of_ten_answered_otherwise_condemn_nobody(self) -> None:
        answers = {"0": 16, "3": 4, "4": 4, "5": 4, "6": 4, "7": 4, "8": 4}
        canary = Figures(requests=40, answers=answers)
        assert stability(self.CHAMPION.answers, canary.answers) > PLAN.max_drift
        assert Judge(PLAN).worse(self.CHAMPION, canary, 1, inputs=10) == []
        assert "other labels" in found(canary, self.CHAMPION, 1), "as many real requests do"

    def test_one_label_for_all_of_them_does(self) -> None:
        canary = Figures(requests=40, answers={"0": 40})
        assert "other labels" in "; ".join(Judge(PLAN).worse(self.CHAMPION, canary, 1, inputs=10))

    def test_labels_so_many_that_none_is_left_of_them_condemn_nobody(self) -> None:
        """Real requests came too: more labels than the repeated inputs can have."""
        champion = Figures(requests=3000, answers={str(label): 100 for label in range(30)})
        canary = Figures(requests=40, answers={"0": 20, "1": 20})
        assert Judge(PLAN).worse(champion, canary, 1, inputs=10) == []
