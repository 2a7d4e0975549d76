"""``airlock search`` over a study in PostgreSQL."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from airlock import settings as settings_module
from airlock.cli import app
from airlock.model.search.spec import read_search
from airlock.model.search.study import Studies
from airlock.model.search.trials import Outcome, Trials
from airlock.stores.database import Database

pytestmark = pytest.mark.integration


@pytest.fixture
def study(home: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    """Leave a study with a trial that was stopped and one that runs; give its name."""
    monkeypatch.setenv("AIRLOCK_DATABASE", database.dsn)
    settings_module.settings.cache_clear()
    search = read_search({"trials": 2, "sampler": "random", "vary": {"units": [8, 16]}}, {})
    studies = Studies(database)
    trials = Trials(studies, studies.begin("digits_model/run/search", "minimize"), search, "one")
    stopped, running = trials.claim(), trials.claim()
    assert stopped is not None
    assert running is not None
    stopped.report(0.9, 1)
    trials.end(stopped, None, Outcome(reason="keep top: 1 by loss at 1: its loss 0.9 was rank 2 of 2"))
    return trials.study.study_name


class TestSearch:
    def test_list_counts_trials_by_state(self, study: str) -> None:
        shown = CliRunner().invoke(app, ["search", "list"])
        assert shown.stdout == f"{study}  1 pruned, 1 running\n", shown.exception

    def test_show_says_why_a_trial_ended(self, study: str) -> None:
        shown = CliRunner().invoke(app, ["search", "show", study])
        stopped, running = shown.stdout.splitlines()
        assert "0 pruned   0.9 at epoch 1  units=" in stopped
        assert stopped.endswith("was rank 2 of 2")
        assert "1 running  no epoch yet" in running
