"""A step that does what it is told, and the operator that runs it as pods."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airlock.operators.pods.place import PodPlace
from airlock.operators.step import StepOperator

STEP = """
import os, signal, sys, time
import msgspec
from airlock.errors import UserError
ENVIRONMENT = ()
class Inputs(msgspec.Struct):
    what: str
    value: int = 0
class Outputs(msgspec.Struct):
    told: str
def count(until):
    for number in range(until):
        print(f"line {number:04}", flush=True)
        time.sleep(0.05)
def run(inputs, context):
    print("begun", flush=True)
    told = inputs.what
    if inputs.what == "sleep":
        time.sleep(inputs.value)
    elif inputs.what == "once":  # sleeps in its first execution, and is done in the next
        if context.run.restart == 0:
            time.sleep(600)
    elif inputs.what == "memory":
        held = [b"x" * 2**20 for _ in range(inputs.value)]
        told = f"{len(held)} MiB"
    elif inputs.what == "count":
        count(inputs.value)
    elif inputs.what == "fail":
        raise UserError("this step fails on purpose")
    elif inputs.what == "exit":
        os._exit(inputs.value)
    elif inputs.what == "child":
        import subprocess
        child = subprocess.Popen(["sleep", "600"])  # it holds our output open
        with open(os.path.join(os.environ["AIRLOCK_HOME"], "child"), "w") as file:
            file.write(str(child.pid))
    elif inputs.what == "memory error once" and context.run.restart == 0:
        raise MemoryError
    elif inputs.what == "second fails":
        if context.worker.index == 1:
            raise UserError("worker 1 fails")
        time.sleep(600)
    elif inputs.what == "meet":
        from airlock.steps.rendezvous import rendezvous
        met = rendezvous(context, timeout=120)
        print(f"worker {met.index} of {met.addresses}", flush=True)
        told = ",".join(met.addresses)
        if context.run.restart == 0 and inputs.value:
            time.sleep(600)
    return Outputs(told=told)
"""


def install(folder: Path) -> Path:
    """Make the step ``probe`` known to whoever has this folder on its path."""
    metadata = folder / "probe-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "probe_step.py").write_text(STEP)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[airlock.steps]\nprobe = probe_step\n")
    return folder


class ProbePodOperator(PodPlace, StepOperator):
    """Runs the step ``probe`` in pods."""

    step = "probe"
    template_fields: Sequence[str] = ("what", "value")

    def __init__(self, *, what: str, value: int = 0, compute: str = "test", **kwargs: Any) -> None:
        super().__init__(compute=compute, **{"task_id": "task", "cache": False} | kwargs)
        self.what = what
        self.value = value
