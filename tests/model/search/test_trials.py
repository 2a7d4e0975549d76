"""Who works on which trial, on a real PostgreSQL: no Keras is needed for that."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from optuna.trial import Trial

from airlock.errors import InfrastructureError, UserError
from airlock.model.search.abandoned import end_trials
from airlock.model.search.conclusion import figures, summarize
from airlock.model.search.spec import Search, read_search
from airlock.model.search.stopping import Stopping
from airlock.model.search.study import Studies
from airlock.model.search.trials import PREEMPTIONS, RUN, Outcome, Trials, claim_of
from airlock.stores.database import Database, open_database

pytestmark = pytest.mark.integration
SPACE = {"trials": 4, "sampler": "random", "vary": {"units": {"low": 1, "high": 1000}}, "seed": 3}
Join = Callable[..., Trials]


def search_of(**changes: Any) -> Search:
    return read_search(SPACE | changes, {"epochs": 9})


@pytest.fixture
def join(database: Database) -> Join:
    """Give ``join(owner, search)``: a worker's view of one study, with a connection of its own."""

    def joined(owner: str = "one", search: Search | None = None, name: str = "study") -> Trials:
        search = search or search_of()
        studies = Studies(open_database(database.dsn))
        return Trials(studies, studies.begin(name, search.direction), search, owner)

    return joined


def taken(trials: Trials) -> Trial:
    trial = trials.claim()
    assert trial is not None
    return trial


def states(trials: Trials) -> list[str]:
    return [trial.state.name for trial in trials.study.get_trials(deepcopy=False)]


class TestTheBudget:
    @pytest.mark.parametrize(
        "sampler", [{"sampler": "tpe"}, {"sampler": "qmc"}, {"sampler": "grid", "vary": {"units": [1, 2, 3, 4, 5, 6]}}]
    )
    def test_is_shared_by_workers_that_begin_at_once_and_no_combination_is_tried_twice(
        self, join: Join, sampler: dict[str, Any]
    ) -> None:
        search = search_of(trials=6, **sampler)

        def work(owner: str) -> None:
            trials = join(owner, search)
            while (trial := trials.claim()) is not None:
                trials.end(trial, float(trial.params["units"]), None)

        with ThreadPoolExecutor() as pool:
            assert list(pool.map(work, ["one", "two", "three"])) == [None] * 3
        seen = join().study.get_trials()
        assert [trial.number for trial in seen] == list(range(6))
        assert max(Counter(trial.params["units"] for trial in seen).values()) == 1

    def test_gives_the_same_values_whoever_draws_them(self, join: Join) -> None:
        alone = [taken(join("one", name="a")).params for _ in range(4)]
        shared = [taken(join(f"worker {number}", name="b")).params for number in range(4)]
        assert alone == shared

    def test_a_gaussian_process_chooses_from_what_was_found(self, join: Join) -> None:
        pytest.importorskip("torch")
        trials = join("one", search_of(sampler={"name": "gp", "n_startup_trials": 2}, trials=3))
        for _ in range(3):
            trial = taken(trials)
            trials.end(trial, abs(trial.params["units"] - 500) / 500, None)
        assert trials.claim() is None


class TestATryThatFollowsAKilledOne:
    def test_goes_on_with_the_same_trial_and_counts_it_as_preempted(self, join: Join) -> None:
        first = join("one")
        trial = taken(first)
        trial.report(0.5, 1)
        again = join("one")
        assert again.recover() == [trial.number]
        resumed = taken(again)
        assert (resumed.number, resumed.params) == (trial.number, trial.params)
        assert resumed.user_attrs[PREEMPTIONS] == 1
        assert again.study.trials[0].intermediate_values == {1: 0.5}
        assert states(again) == ["RUNNING"]

    def test_leaves_other_workers_trials_alone(self, join: Join) -> None:
        theirs = taken(join("two"))
        assert join("one").recover() == []
        assert taken(join("one")).number != theirs.number

    def test_locks_the_killed_one_out_should_it_still_run(self, join: Join) -> None:
        first, again = join("one"), join("one")
        trial = taken(first)
        claim = claim_of(trial)
        again.recover()
        taken(again)
        assert claim is not None
        latest = first.study._storage.get_trial(trial._trial_id)
        assert not first.holds(latest, claim.count), "the newer claim holds"

    def test_gives_a_trial_up_that_takes_every_worker_with_it(self, join: Join) -> None:
        search = search_of(max_preemptions=1)
        for _ in range(2):
            trials = join("one", search)
            trials.recover()
            assert taken(trials).number == 0
        last = join("one", search)
        last.recover()
        assert taken(last).number == 1
        ended = figures(last.study.trials[0])
        assert (ended.state, ended.category) == ("failed", "resource")
        assert "went away 2 times" in ended.reason


class TestTheEnd:
    def test_leaves_nothing_running_or_waiting(self, join: Join) -> None:
        one, two = join("one"), join("two")
        done, left, waiting = taken(one), taken(one), taken(two)
        one.end(done, 0.5, None)
        two.release(waiting)
        assert sorted(states(one)) == ["COMPLETE", "RUNNING", "WAITING"]
        join("conclusion").settle()
        assert sorted(states(one)) == ["COMPLETE", "FAIL", "FAIL"]
        summary = summarize(one.study, one.search, {"epochs": 9}, "run")
        assert summary.parameters == {"epochs": 9, "units": done.params["units"]}
        assert "one went away" in summary.trials[left.number].reason
        assert summary.preemptions == 1

    def test_keeps_why_each_trial_ended(self, join: Join) -> None:
        trials = join("one")
        trials.end(taken(trials), None, Outcome(reason="no good"))
        trials.end(taken(trials), None, Outcome(reason="diverged", category="user"))
        found = [figures(trial) for trial in trials.study.trials]
        assert [(trial.state, trial.reason, trial.category) for trial in found] == [
            ("pruned", "no good", None),
            ("failed", "diverged", "user"),
        ]


def reported(stopping: Stopping, trial: Trial, epoch: int, figures: dict[str, float]) -> str:
    """Report an epoch as a worker does; return why the trial must stop, empty when it may go on."""
    latest = stopping.study._storage.get_trial(trial._trial_id)
    stopping.report(trial, latest, epoch, figures)
    return stopping.reason(latest, epoch)


class FakeRegistry:
    """Keeps which runs were ended how."""

    def __init__(self) -> None:
        self.ended: dict[str, str] = {}

    def end_run(self, run: str, status: str) -> None:
        self.ended[run] = status


class TestAWorkerThatFailedForGood:
    @pytest.fixture
    def one(self, join: Join) -> Trials:
        """Two workers of a search, each with a trial in a run of its own: the first."""
        one, two = join("dag/run/search.worker_1"), join("dag/run/search.worker_2#1")
        one.study.set_user_attr(RUN, "of the search")
        for trials, run in ((one, "of one"), (two, "of two")):
            taken(trials).set_user_attr(RUN, run)
        return one

    def test_takes_its_own_trial_with_it_and_the_last_one_the_search(self, one: Trials) -> None:
        registry: Any = FakeRegistry()
        assert end_trials(one.studies, registry, "study", "dag/run/search.worker_1") == 1
        assert registry.ended == {"of one": "FAILED"}, "Another one goes on."
        assert end_trials(one.studies, registry, "other", "dag/run/search.worker_2") == 0
        assert end_trials(one.studies, registry, "study", "dag/run/search.worker_2") == 1
        assert registry.ended == {"of one": "FAILED", "of two": "FAILED", "of the search": "KILLED"}
        assert [trial.state.name for trial in one.study.trials] == ["FAIL", "FAIL"]
        assert all("failed for good" in trial.user_attrs["outcome"]["reason"] for trial in one.study.trials)

    def test_a_conclusion_takes_everybodys(self, one: Trials) -> None:
        """Its workers have all ended; what one of them could not end ends with it, and so does the search's run."""
        registry: Any = FakeRegistry()
        assert end_trials(one.studies, registry, "study", "") == 2
        assert registry.ended == {"of one": "FAILED", "of two": "FAILED", "of the search": "KILLED"}


class TestStopping:
    def reasons(self, trials: Trials, curves: list[list[float]], metric: str = "val_loss") -> list[str]:
        """Train along the curves, one after the other; return why each stopped."""
        stopping, reasons = Stopping(trials.study, trials.search), []
        for curve in curves:
            trial, reason = taken(trials), ""
            for epoch, value in enumerate(curve, start=1):
                figures = dict.fromkeys(("loss", "val_loss", "accuracy", "val_accuracy"), value)
                if reason := reported(stopping, trial, epoch, figures):
                    break
            reasons.append(reason)
            trials.end(trial, None if reason else curve[-1], Outcome(reason=reason) if reason else None)
        return reasons

    def test_keep_stops_who_is_not_among_the_best_at_its_epoch(self, join: Join) -> None:
        trials = join("one", search_of(keep=["top: 1 by loss at 2"]))
        found = self.reasons(trials, [[0.9, 0.5, 0.4], [0.9, 0.7, 0.1], [0.9, 0.3, 0.2]])
        assert found == ["", "keep top: 1 by loss at 2: its loss 0.7 was rank 2 of 2", ""]

    def test_keep_stops_one_of_the_first_when_it_is_overtaken(self, join: Join) -> None:
        trials = join("one", search_of(keep=["top: 1 by val_loss at 1"]))
        stopping = Stopping(trials.study, trials.search)
        early, late = taken(trials), taken(trials)
        assert reported(stopping, early, 1, {"val_loss": 0.9}) == "", "nobody else is there yet"
        assert reported(stopping, late, 1, {"val_loss": 0.1}) == ""
        assert "rank 2 of 2" in reported(stopping, early, 2, {"val_loss": 0.8})

    def test_a_threshold_is_looked_at_at_its_epoch_only(self, join: Join) -> None:
        trials = join("one", search_of(keep=["accuracy above 0.3 at 2"]))
        found = self.reasons(trials, [[0.1, 0.4, 0.1], [0.9, 0.2]])
        assert found == ["", "keep accuracy above 0.3 at 2: its accuracy was 0.2"]

    @pytest.mark.parametrize(
        "pruner",
        [
            {"name": "asha", "reduction_factor": 2},
            {"name": "median", "n_startup_trials": 1},
            {"name": "threshold", "upper": 0.8},
            {"name": "hyperband", "reduction_factor": 2},
        ],
    )
    def test_every_pruner_stops_a_hopeless_trial_and_says_in_figures_why(
        self, join: Join, pruner: dict[str, Any]
    ) -> None:
        trials = join("one", search_of(pruner=pruner, trials=8))
        good = [[0.5 - 0.01 * epoch for epoch in range(9)]] * 5
        found = self.reasons(trials, [*good, *[[0.9] * 9] * 3])
        stopped = [reason for reason in found[5:] if reason]
        assert stopped, "three hopeless trials ran to their ends"
        assert f"{pruner['name']} (" in stopped[0]
        assert "val_loss 0.9 at epoch" in stopped[0]

    def test_without_a_pruner_nothing_stops(self, join: Join) -> None:
        assert self.reasons(join("one"), [[0.1] * 9, [0.9] * 9]) == ["", ""]


class TestADatabase:
    def test_that_is_away_is_named_as_infrastructure(self) -> None:
        away = Studies(open_database("postgresql://nobody@127.0.0.1:9/none"))
        with pytest.raises(InfrastructureError, match=r"127\.0\.0\.1:9/none does not answer"):
            away.begin("study", "minimize")

    def test_that_broke_connections_off_in_between_is_not_noticed(self, join: Join, superuser: Database) -> None:
        trials = join("one")
        taken(trials)
        with superuser.transaction() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'airlock search'"
                " AND datname = current_database()"
            )
        assert taken(trials).number == 1

    def test_keeps_optunas_tables_out_of_airlocks_schema(self, join: Join, superuser: Database) -> None:
        join("one")
        with superuser.transaction() as cursor:
            cursor.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'trials'")
            assert [row["schemaname"] for row in cursor.fetchall()] == ["optuna"]

    def test_that_has_no_such_study_says_so(self, join: Join) -> None:
        with pytest.raises(UserError, match="There is no search 'other'"):
            join("one").studies.open("other")
