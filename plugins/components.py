"""Airflow's components as forks of one process: ``python -m airlock.plugins.components``, the plan on standard input.

Scheduler, DAG processor and API server import the same modules for two seconds each before they differ. Here that is
done once; each fork then becomes what ``airflow scheduler`` and so on would be, in a session of its own, and shares
the imported pages with the others. Nothing has connected to the database or started a thread before the forks.
"""

import gc
import importlib
import os
import sys
from typing import NoReturn

import msgspec

from airlock.launcher.processes import Fork, record

PRELOADED = (
    "airflow.__main__",
    "airflow.cli.cli_parser",
    "airflow.cli.commands.scheduler_command",
    "airflow.cli.commands.dag_processor_command",
    "airflow.api_fastapi.app",
)


def main() -> None:
    """Import, fork, and leave the components to themselves."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Fork])
    for module in PRELOADED:
        importlib.import_module(module)
    gc.freeze()  # what is shared must not be touched by the forks' garbage collectors
    for fork in plan:
        pid = os.fork()
        if pid == 0:
            _become(fork)
        record(fork.pid_file, pid)


def _become(fork: Fork) -> NoReturn:
    """Be the component: session, streams and environment as if it had been started on its own."""
    from airflow.__main__ import main as airflow
    from setproctitle import setproctitle

    os.setsid()
    os.chdir(fork.cwd)
    log = os.open(fork.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(target, stream)
    os.environ.clear()
    os.environ.update(fork.environment)
    sys.argv = ["airflow", *fork.arguments]
    setproctitle(" ".join(sys.argv))
    sys.exit(airflow())  # type: ignore[no-untyped-call]  # Airflow leaves it untyped


if __name__ == "__main__":
    main()
