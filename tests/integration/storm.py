"""A storm: faults at random over searches and trainings. What must hold after each of their runs: ``aftermath``."""

import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import psutil

from airlock.errors import AirlockError
from airlock.launcher.layout import Layout
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.launcher.services import NAMES, OPTIONAL
from airlock.launcher.stack import up
from airlock.launcher.starting import process_of
from airlock.stores.database import open_database
from airlock.stores.layers import open_layers
from tests.integration.aftermath import DAG, MEMORY, Aftermath, Run
from tests.integration.conftest import DAGS, Stack
from tests.model.conftest import store_tensors

TRIES = 2
"""Airflow's retries of a step."""
USES_A_TRY = {"worker killed", "scheduler killed", "mlflow killed", "postgres restarted"}


class Storm:
    """Disturbs runs of the DAG, one run at a time. A place has faults of its own, see :meth:`faults`."""

    def __init__(self, stack: Stack, seed: int, digits: dict[str, Any]) -> None:
        self.stack, self.random = stack, random.Random(seed)
        self.layout = Layout(stack.home)
        self.folder = stack.home / "storm"
        self.tensors = store_tensors(open_layers(stack.settings), self.folder / str(seed), digits)
        self.api = stack.person("Admin")
        self.aftermath = Aftermath(stack)
        self.done: Counter[str] = Counter()
        self.number = self.random.randrange(10**6)

    def faults(self) -> dict[str, Callable[[Run], bool]]:
        """What can happen: given a run, a fault says whether it hit it."""
        return {
            "step killed": self.kill_step,
            "step asked to end": self.stop_step,
            "worker killed": self.kill_worker,
            "scheduler killed": self.kill_scheduler,
            "mlflow killed": self.kill_mlflow,
            "postgres restarted": self.restart_postgres,
        }

    def rage(self, count: int) -> list[Run]:
        """Hit runs so often, let each end, and judge it."""
        deck, runs = self._deck(), []
        while self.done.total() < count:
            run = self.begin()
            runs.append(run)
            while self.done.total() < count and self.alive(run):
                self._hit(run, next(deck))
            state = self.ended(run)
            print(f"{self.done.total()} of {count}: {run.name} {state} after {run.hits}", flush=True)
            self.aftermath.judge(run, state, self.tasks(run), self.steps(run))
        return runs

    def begin(self) -> Run:
        """Start a run whose training nobody has seen."""
        self.number += 1
        hog = self.folder / f"hog-{self.number}"
        conf = {"tensors": msgspec.to_builtins(self.tensors), "seed": self.number, "hog": str(hog)}
        return Run(str(self._asked(lambda: self.api.trigger(DAG, conf))), hog)

    def state(self, run: Run) -> str:
        self._keep_up()
        return str(self._asked(lambda: self.api.run(DAG, run.name)["state"]))

    def alive(self, run: Run) -> bool:
        return self.state(run) in ("queued", "running")

    def ended(self, run: Run, seconds: float = 900) -> str:
        """Wait for the end of a run."""
        end = time.monotonic() + seconds
        while self.alive(run):
            assert time.monotonic() < end, f"{run.name} has not ended after {run.hits}: {self.tasks(run)}"
            time.sleep(1)
        return self.state(run)

    def tasks(self, run: Run) -> list[dict[str, Any]]:
        return list(self._asked(lambda: self.api.tasks(DAG, run.name)))

    def _deck(self) -> Iterator[str]:
        """Every fault once in a random order, then again."""
        while True:
            names = list(self.faults())
            self.random.shuffle(names)
            yield from names

    def _hit(self, run: Run, name: str) -> None:
        """Wait for a moment in the middle of a step, then do one fault."""
        time.sleep(self.random.uniform(1, 8))
        end = time.monotonic() + 120
        while self.alive(run) and not self.steps(run) and time.monotonic() < end:
            time.sleep(0.2)
        used = sum(hit in USES_A_TRY for hit in run.hits)
        if MEMORY in run.hits or (name in USES_A_TRY and used >= TRIES):
            return  # it would fail, and rightly
        if self.steps(run) and self.faults()[name](run):
            run.hits.append(name)
            self.done[name] += 1

    def _asked(self, question: Callable[[], Any]) -> Any:
        """Ask Airflow, which may be between two lives."""
        end = time.monotonic() + 120
        while True:
            try:
                return question()
            except AirlockError:
                assert time.monotonic() < end, "Airflow does not answer"
                time.sleep(0.5)

    # What happens

    def steps(self, run: Run) -> list[psutil.Process]:
        """The processes of a run's steps: forks of the step host; in pods they name their specs."""
        host = process_of("step-host", self.layout).leader()
        found = host.children(recursive=True) if host else []
        plain = re.sub(r"[^\w.-]", "_", run.name)
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if "--spec" in command and any(plain in part for part in command):
                found.append(process)
        return found

    def kill_step(self, run: Run) -> bool:
        return _signalled(self.steps(run), signal.SIGKILL)

    def stop_step(self, run: Run) -> bool:
        return _signalled(self.steps(run), signal.SIGTERM)

    def kill_worker(self, run: Run) -> bool:
        """Kill what supervises the running task: Airflow notices that nobody beats its heart."""
        running = [str(task["id"]) for task in self.tasks(run) if task["state"] == "running"]
        titles = [f"airflow worker -- LocalExecutor: {name}" for name in running]
        workers = [p for p in psutil.process_iter(["cmdline"]) if " ".join(p.info["cmdline"] or ()).strip() in titles]
        return _signalled(workers, signal.SIGKILL)

    def kill_scheduler(self, _run: Run) -> bool:
        return self._killed("scheduler")

    def kill_mlflow(self, _run: Run) -> bool:
        return self._killed("mlflow")

    def restart_postgres(self, _run: Run) -> bool:
        port = int(open_database(self.stack.settings.database).address.partition(":")[2].partition("/")[0])
        server = EmbeddedPostgres(self.layout.postgres, port)
        server.stop()
        time.sleep(self.random.uniform(0, 3))
        self._up()
        return True

    def use_up_memory(self, run: Run) -> bool:
        """Make the running step too big for its place."""
        run.hog.touch()
        return True

    def _killed(self, service: str) -> bool:
        """Kill a service with all its processes, and start it a moment later as ``airlock up`` does."""
        process = process_of(service, self.layout)
        while members := process.members():
            _signalled(members, signal.SIGKILL)
            time.sleep(0.05)
        time.sleep(self.random.uniform(0, 3))
        self._up()
        return True

    def _keep_up(self) -> None:
        """Do what a process manager does: Airflow's scheduler ends when its database goes away."""
        needed = [name for name in NAMES if name not in OPTIONAL]
        if not all(process_of(name, self.layout).leader() for name in needed):
            self._up()

    def _up(self) -> None:
        up(self.stack.home, port_base=int(self.stack.settings.airflow.rpartition(":")[2]), dags=DAGS)


def _signalled(processes: list[psutil.Process], number: signal.Signals) -> bool:
    """Send a signal; say whether anybody got it."""
    hit = False
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
            hit = True
    return hit
