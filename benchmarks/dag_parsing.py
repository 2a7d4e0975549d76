"""What parsing Airlock's DAGs costs, against bare Airflow DAGs with the same tasks and dependencies.

Each side in a fresh process that has Airflow imported, as the dag processor's children have.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from reporting import report, show

DAGS = Path(__file__).parents[1] / "dags"
ROUNDS = 7
PROGRAM = """
import sys, time
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
import airflow.sdk
started = time.perf_counter()
bag = DagBag(sys.argv[1])
seconds = time.perf_counter() - started
assert not bag.import_errors, bag.import_errors
import json
print(json.dumps([seconds, {name: [t.task_id for t in dag.topological_sort()] for name, dag in bag.dags.items()}]))
"""


def main() -> None:
    """Measure and report."""
    _, tasks = parse(DAGS)
    with tempfile.TemporaryDirectory(prefix="airlock-bench-") as folder:
        write_bare(Path(folder), tasks)
        pairs = [(parse(DAGS)[0], parse(Path(folder))[0]) for _ in range(ROUNDS + 1)][1:]
    ours = show("airlock DAGs", [pair[0] for pair in pairs])
    bare = show("bare DAGs", [pair[1] for pair in pairs])
    report("parsing_over_bare_dags", ours / bare, 2.0)


def parse(folder: Path) -> tuple[float, dict[str, list[str]]]:
    """Seconds to parse a folder of DAGs, and their tasks."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], check=True, capture_output=True, text=True)
    seconds, tasks = json.loads(ended.stdout.splitlines()[-1])
    return seconds, tasks


def write_bare(folder: Path, dags: dict[str, list[str]]) -> None:
    """One file a DAG: a chain of the same number of plain tasks."""
    for name, tasks in dags.items():
        lines = ["from airflow.sdk import DAG, task", f"with DAG({name!r}, schedule=None):"]
        lines += [f"    @task\n    def {task}(value): return value" for task in tasks]
        lines += ["    last = None", *(f"    last = {task}(last)" for task in tasks)]
        (folder / f"{name}.py").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
