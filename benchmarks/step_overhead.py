"""What a step costs when the work is free: against bare Airflow tasks and against Metaflow's local runner.

One stack on the launcher's own settings; the chains take turns, so that whatever else the machine does hits all alike.
"""

import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from reporting import report, show
from rich.console import Console

from airlock.demo.airflow_api import AirflowApi
from airlock.demo.tour import make_follower
from airlock.launcher.stack import down, up
from airlock.settings import load_settings

HERE = Path(__file__).parent
ROUNDS = 9
CHAINS = ("overhead_bare", "overhead_steps", "overhead_cached")
PORT = 8780


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory(prefix="airlock-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        up(home, port_base=PORT, console=Console(), dags=HERE / "dags")
        try:
            settings = load_settings({"AIRLOCK_HOME": folder})
            admin = make_follower(settings, Console()).watcher
            times = measure(admin, Path(folder))
        finally:
            down(home)
    medians = {name: show(name, seconds) for name, seconds in times.items()}
    report("step_over_bare_task", medians["overhead_steps"] / medians["overhead_bare"], 1.25)
    report("cached_step_over_bare_task", medians["overhead_cached"] / medians["overhead_bare"], 1.15)
    report("step_over_metaflow", medians["overhead_steps"] / medians["metaflow"], 1.0)


def measure(admin: AirflowApi, folder: Path) -> dict[str, list[float]]:
    """Seconds of every chain in every round, after one round nobody counts."""
    times: dict[str, list[float]] = {name: [] for name in (*CHAINS, "metaflow")}
    for number in range(ROUNDS + 1):
        for name, seconds in times.items():
            taken = metaflow(folder) if name == "metaflow" else airflow(admin, name)
            if number:
                seconds.append(taken)
    return times


def airflow(admin: AirflowApi, dag: str) -> float:
    """Seconds from the start of a run to its end, as Airflow's own record has them."""
    run = admin.trigger(dag)
    while (state := admin._json("GET", f"/dags/{dag}/dagRuns/{run}"))["state"] not in ("success", "failed"):
        time.sleep(0.5)
    assert state["state"] == "success", f"{dag} failed"
    started, ended = (datetime.fromisoformat(state[key]) for key in ("start_date", "end_date"))
    return (ended - started).total_seconds()


def metaflow(folder: Path) -> float:
    """Seconds of one run of the same chain in Metaflow, its command included."""
    environment = os.environ | {
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder / "metaflow"),
        "METAFLOW_USER": "bench",
        "USERNAME": "bench",
    }
    command = [sys.executable, str(HERE / "flows" / "overhead_flow.py"), "--quiet", "run"]
    started = time.perf_counter()
    subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
