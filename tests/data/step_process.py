"""A step in a process that a test can kill: ``python step_process.py SETTINGS SPEC`` (JSON), and who waits for it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from airlock.settings import Settings
from airlock.steps.contract import RunInfo, Spec
from airlock.steps.runner import run_spec


def start(settings: Settings, step: str, inputs: dict[str, Any], run: str, attempt: int) -> "subprocess.Popen[bytes]":
    """Start a try of a task in a process of its own."""
    info = RunInfo(dag="test", run=run, task=step, attempt=attempt)
    spec = Spec(step=step, inputs=inputs, run=info, result=f"results/{info.path}.json")
    arguments = [msgspec.json.encode(settings).decode(), msgspec.json.encode(spec).decode()]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, __file__, *arguments], env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )


def kill_when(process: "subprocess.Popen[bytes]", reached: Callable[[], bool], limit: float = 60.0) -> bool:
    """Kill a process group with SIGKILL once something is reached; return whether it was still alive then."""
    end = time.monotonic() + limit
    while not reached() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return alive and process.returncode == -signal.SIGKILL


if __name__ == "__main__":
    result = run_spec(msgspec.json.decode(sys.argv[2], type=Spec), msgspec.json.decode(sys.argv[1], type=Settings))
    sys.exit(0 if result.status == "succeeded" else 1)
