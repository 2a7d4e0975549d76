"""Stops the stack: whatever writes first, the databases last."""

import time
from concurrent.futures import ThreadPoolExecutor

from airlock.launcher.layout import Layout
from airlock.launcher.phases import Phases
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.launcher.processes import ServiceProcess
from airlock.launcher.services import POSTGRES
from airlock.launcher.starting import process_of

# Each row is stopped at once, one row after the other. A running task is cut off: its result is written whole or not.
ROWS = (
    ("api-server", "scheduler", "triggerer", "dag-processor", "bootstrap", "step-host"),
    ("reconciler", "mlflow"),
)
GRACE = 5.0


def stop_everything(layout: Layout, phases: Phases) -> list[str]:
    """Stop every service and PostgreSQL; return the names of those that were running."""
    stopped: list[str] = []
    for row in ROWS:
        processes = [process_of(name, layout) for name in row]
        running = [process for process in processes if process.members()]
        began = time.monotonic()
        _stop(running)
        for process in running:
            phases.ended(f"stop {process.name}", time.monotonic() - began)
        stopped += [process.name for process in running]
    return stopped + _stop_postgres(layout, phases)


def _stop(processes: list[ServiceProcess]) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        for done in [pool.submit(process.stop, GRACE) for process in processes]:
            done.result()


def _stop_postgres(layout: Layout, phases: Phases) -> list[str]:
    postgres = EmbeddedPostgres(layout.postgres, port=0)
    if not postgres.running:
        return []
    with phases.phase(f"stop {POSTGRES}"):
        postgres.stop()
    return [POSTGRES]
