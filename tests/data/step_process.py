"""A step in a process that a test can kill, forked from a server that has imported everything already."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import airlock.data.ingestion
import airlock.data.sources
import airlock.steps.ingest
import airlock.steps.stream
from airlock.settings import Settings
from airlock.steps.contract import RunInfo, Spec
from airlock.steps.runner import run_spec

PRELOADED = (airlock.data.ingestion, airlock.data.sources, airlock.steps.ingest, airlock.steps.stream)
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["step_process"])


def start(settings: Settings, step: str, inputs: dict[str, Any], run: str, attempt: int) -> ForkServerProcess:
    """Start a try of a task in a process of its own."""
    info = RunInfo(dag="test", run=run, task=step, attempt=attempt)
    spec = Spec(step=step, inputs=inputs, run=info, result=f"results/{info.path}.json")
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parents[2])))
    try:
        process = FORKS.Process(target=_run, args=(spec, settings), daemon=True)
        process.start()
    finally:
        del os.environ["PYTHONPATH"]
    return process


def kill_when(process: ForkServerProcess, reached: Callable[[], bool], limit: float = 60.0) -> bool:
    """Kill a process and its group with SIGKILL once something is reached; return whether it was alive then."""
    end = time.monotonic() + limit
    while not reached() and process.is_alive() and time.monotonic() < end:
        time.sleep(0.002)
    with suppress(ProcessLookupError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def _run(spec: Spec, settings: Settings) -> None:
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    run_spec(spec, settings)
