"""A search's specification is checked as a whole, and without Optuna."""

import subprocess
import sys
from typing import Any

import pytest

from airlock.errors import UserError
from airlock.model.search.keep import Standing, Threshold, Top
from airlock.model.search.spec import read_search

GOOD: dict[str, Any] = {
    "trials": 24,
    "sampler": "tpe",
    "pruner": {"name": "asha", "reduction_factor": 4},
    "metric": "val_loss",
    "direction": "minimize",
    "seed": 7,
    "workers": 2,
    "vary": {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "filters": [16, 32, 64],
        "batch_size": {"low": 16, "high": 64, "step": 16},
        'net["conv*"].lr': {"low": 0.1, "high": 1.0},
        "network": ["network.yaml", "wide.yaml"],
    },
    "keep": [{"top": 5, "by": "loss", "at": 100}, {"by": "val_accuracy", "above": 0.3, "at": 2}],
}
PARAMETERS = {"epochs": 100}


def problems(changes: dict[str, Any], parameters: dict[str, Any] = PARAMETERS, **kwargs: Any) -> str:
    with pytest.raises(UserError) as caught:
        read_search(GOOD | changes, parameters, **kwargs)
    assert "docs/search.md" in caught.value.hint
    return caught.value.message


class TestAGoodSpecification:
    def test_is_read(self) -> None:
        search = read_search(GOOD, PARAMETERS)
        assert (search.budget, search.workers, search.epochs) == (24, 2, 100)
        assert [str(rule) for rule in search.keep] == ["top: 5 by loss at 100", "val_accuracy above 0.3 at 2"]
        assert search.vary["batch_size"].values() == [16, 32, 48, 64]

    def test_may_write_its_rules_as_text(self) -> None:
        texts = ["top: 5 by loss at 100", "val_accuracy above 0.3 at 2"]
        assert read_search(GOOD | {"keep": texts}, PARAMETERS).keep == read_search(GOOD, PARAMETERS).keep

    def test_has_as_many_trials_as_a_smaller_grid_has_combinations(self) -> None:
        grid = {"sampler": "grid", "vary": {"filters": [16, 32], "units": {"low": 1, "high": 3}}}
        assert read_search(GOOD | grid, PARAMETERS).budget == 6

    def test_is_read_without_optuna_and_numpy(self) -> None:
        code = (
            "import sys; from airlock.model.search.spec import read_search\n"
            f"read_search({GOOD!r}, {PARAMETERS!r})\n"
            "assert not {'optuna', 'numpy', 'keras'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestABadSpecification:
    def test_names_every_problem_at_once(self) -> None:
        said = problems({"trials": 0, "sampler": "magic", "pruner": "axe", "vary": {"units": []}, "colour": 1})
        for part in ("trials must be", "no sampler 'magic'", "no pruner 'axe'", "units: has no choice", "'colour'"):
            assert part in said

    @pytest.mark.parametrize(
        ("vary", "said"),
        [
            ({}, "vary is empty"),
            ({"units": [8]}, "nothing varies"),
            ({"units": {"low": 9, "high": 8}}, "low 9 is larger than high 8"),
            ({"units": {"low": 0.0, "high": 1.0, "log": True}}, "log needs a low above 0, not 0"),
            ({"units": {"low": 1, "high": 8, "log": True, "step": 2}}, "log and step exclude each other"),
            ({"units": {"low": 1, "high": 8, "step": 20}}, "step 20 does not fit between 1 and 8"),
            ({"units": {"low": 1, "high": float("inf")}}, "must be finite"),
            ({"units": {"low": 1}}, "missing required field `high`"),
            ({"units": {"low": 1, "high": 2, "steps": 1}}, "unknown field `steps`"),
            ({"units": 8}, "neither a range"),
            ({"units": [8, 8]}, "names a choice twice"),
            ({"units": [[8]]}, "not [8]"),
            ({"net[conv].lr": [1, 2]}, "no name of a parameter"),
            ({"network": {"low": 1, "high": 2}}, "network: its choices must be a list of names"),
            ({"data": ["v1", "v9"]}, "there are no tensors v1, v9"),
        ],
    )
    def test_whose_space_is_empty_or_contradicts_itself(self, vary: dict[str, Any], said: str) -> None:
        assert said in problems({"vary": vary})

    @pytest.mark.parametrize(
        ("keep", "said"),
        [
            (["top 5"], "'top 5' is no rule"),
            (["top: 5 by f1 at 3"], "there is no metric 'f1'"),
            (["top: 5 by loss at 101"], "the epochs 1 to 100"),
            (["top: 24 by loss at 3"], "fewer than all"),
            ([{"by": "loss", "at": 3}], "needs one of top, above and below"),
            ([{"by": "loss", "at": 3, "above": 1, "below": 2}], "needs one of top, above and below"),
            ([{"top": 5, "by": "loss"}], "missing required field `at`"),
            (5, "must be a list of rules"),
        ],
    )
    def test_whose_rules_cannot_be_kept(self, keep: Any, said: str) -> None:
        assert said in problems({"keep": keep})

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"sampler": "grid"}, "grid needs a list or a step, without log, for learning_rate"),
            ({"sampler": "grid", "trials": 3, "vary": {"a": [1, 2], "b": [1, 2]}}, "4 combinations, more than the 3"),
            ({"pruner": {"name": "asha", "reduction_factor": 1}}, "reduction_factor must be at least 2"),
            ({"pruner": {"name": "asha", "min_resource": 200}}, "min_resource is larger than the 100 epochs"),
            ({"pruner": {"name": "median", "eta": 3}}, "has no option 'eta'"),
            ({"pruner": "threshold"}, "needs lower or upper"),
            ({"pruner": {"name": "threshold", "lower": 2, "upper": 1}}, "lower is larger than upper"),
            ({"metric": "f1"}, "there is no metric 'f1'"),
            ({"direction": "maximize"}, "contradicts metric val_loss"),
            ({"workers": 25}, "25 workers have only 24 trials"),
            ({"seed": "a"}, "seed must be a whole number"),
        ],
    )
    def test_whose_methods_or_goal_contradict_it(self, changes: dict[str, Any], said: str) -> None:
        assert said in problems({"keep": []} | changes)

    def test_with_several_datasets_must_say_which(self) -> None:
        assert "vary does not say which to take" in problems({}, data=["v1", "v2"])


class TestRules:
    OTHERS = (Standing(0, 0.5), Standing(2, 0.3), Standing(3, 0.5))

    def test_top_counts_who_is_ahead_and_the_earlier_trial_wins_a_tie(self) -> None:
        rule = Top(top=2, by="loss", at=4)
        assert rule.objection(Standing(1, 0.5), self.OTHERS) == "keep top: 2 by loss at 4: its loss 0.5 was rank 3 of 4"
        assert rule.objection(Standing(0, 0.5), (Standing(1, 0.5), Standing(2, 0.3))) == ""

    def test_top_by_accuracy_prefers_the_larger(self) -> None:
        rule = Top(top=1, by="accuracy", at=4)
        assert rule.objection(Standing(1, 0.6), self.OTHERS) == ""
        assert "rank 4 of 4" in rule.objection(Standing(1, 0.1), self.OTHERS)

    @pytest.mark.parametrize(("value", "stops"), [(0.3, True), (0.31, False), (float("nan"), True)])
    def test_a_threshold_must_be_passed(self, value: float, stops: bool) -> None:
        rule = Threshold(by="val_accuracy", above=0.3, at=2)
        assert bool(rule.objection(Standing(1, value), ())) is stops
