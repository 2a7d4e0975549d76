"""Every DAG file: importable, cheap to parse, short, and whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

DAGS = Path(__file__).parents[2] / "dags"
HEAVY = (
    "tensorflow",
    "torch",
    "mlflow",
    "great_expectations",
    "optuna",
    "kubernetes",
    "label_studio_sdk",
    "lance",
    "pandas",
)
USE_CASES = ("digits", "fashion", "news")
DAG_FILES = [(case, part) for case in USE_CASES for part in ("data", "model", "deployment")]
DAG_FILES += [("digits", "revision")]


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(str(DAGS))


def test_every_dag_imports(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == {f"{case}_{part}" for case, part in DAG_FILES}


def test_parsing_imports_nothing_heavy_and_asks_no_database(tmp_path: Path) -> None:
    program = (
        "import sys, json\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        f"bag = DagBag({str(DAGS)!r})\n"
        "assert not bag.import_errors, bag.import_errors\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
    )
    # A database that refuses every connection: parsing must not want one.
    closed = "postgresql+psycopg2://nobody@127.0.0.1:9/none"
    environment = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": closed,
        "AIRLOCK_HOME": str(tmp_path),
        "PATH": "",
    }
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize(("case", "part"), DAG_FILES)
class TestEveryDag:
    def test_it_stays_short(self, case: str, part: str) -> None:
        lines = (DAGS / case / f"{part}_dag.py").read_text().splitlines()
        assert 35 <= len(lines) <= 80

    def test_it_holds_no_helper_code(self, case: str, part: str) -> None:
        assert "def " not in (DAGS / case / f"{part}_dag.py").read_text()

    def test_what_is_promised_stands_behind_a_gate(self, bag: DagBag, case: str, part: str) -> None:
        dag = bag.dags[f"{case}_{part}"]
        gate = next(task for task in dag.tasks if task.task_id.endswith("_gate"))
        promised = "deploy" if part == "deployment" else "promote"
        assert promised in gate.get_flat_relative_ids(upstream=False)

    def test_one_run_at_a_time(self, bag: DagBag, case: str, part: str) -> None:
        assert bag.dags[f"{case}_{part}"].max_active_runs == 1


@pytest.mark.parametrize("case", USE_CASES)
def test_an_approval_wakes_the_next_pipeline(bag: DagBag, case: str) -> None:
    for part, following in (("data", "model"), ("model", "deployment")):
        outlets = {asset.uri for asset in bag.dags[f"{case}_{part}"].get_task("promote").outlets}
        woken = {asset.uri for asset in bag.dags[f"{case}_{following}"].timetable.asset_condition.objects}
        assert outlets == woken
