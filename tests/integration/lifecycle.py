"""Drives a use case through its DAGs as its people would, trying the wrong ones first."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from airlock.demo.follow import Follower, now
from airlock.governance.book import Book
from airlock.stores.database import open_database
from airlock.stores.gates import GateRequests
from tests.integration.conftest import Stack


class Journey(Follower):
    """A follower that also keeps what happens when the wrong people answer, and can reject.

    :param rejects: gate to the option to choose there, once.
    """

    def __init__(self, stack: Stack, rejects: dict[str, str] | None = None) -> None:
        requests = GateRequests(open_database(stack.settings.database))

        def book() -> Book:
            return Book.open(requests.ledger, stack.settings.public_keys)

        super().__init__(stack.person("Admin"), stack.person, requests, book, print, lambda _text: None)
        self.stack = stack
        self.rejects = rejects or {}
        self.runs: dict[str, str] = {}
        self.refusals: dict[str, dict[str, int]] = {}
        self.questions: dict[str, dict[str, Any]] = {}

    def _answer(self, dag: str, run: str, name: str) -> None:
        request = self.requests.find(dag, run, name, -1)
        assert request is not None, f"{name} waits without a request on file"
        awaited = self.book().tally(request.id).awaited(time.time())
        if not awaited:
            return None
        if request.gate not in self.questions:
            self.questions[request.gate] = self.watcher.question(dag, run, name)
            self.refusals[request.gate] = self._try_everybody_else(dag, run, name, awaited[0])
        option = self.rejects.pop(request.gate, None)
        if option is None:
            return super()._answer(dag, run, name)
        person = self.person(awaited[0])
        reply = person.answer(dag, run, name, option, "Not good enough.")
        if reply.status_code == 409:
            self.rejects[request.gate] = option
        else:
            assert reply.is_success, reply.text
        return None

    def _try_everybody_else(self, dag: str, run: str, name: str, right: str) -> dict[str, int]:
        others = [role for role in self.stack.roles if role != right]
        return {role: self.person(role).answer(dag, run, name, "Approve", "Let me.").status_code for role in others}

    def fork(self, dag: str, change: str, role: str = "data_scientist") -> None:
        """Fork a run as somebody in a role does, and follow what comes of it to the end.

        :param change: as ``airlock run fork --set`` takes it.
        """
        started, person = now(), self.stack.users[role]
        arguments = ["run", "fork", f"{dag}/{self.runs[dag]}", "--user", person.username, "--set", change]
        said = self.airlock(*arguments, AIRLOCK_PASSWORD=person.password)
        self.runs[dag] = said.split(f"{dag}/")[-1].strip()
        self.follow(dag, self.runs[dag])
        use_case, _, pipeline = dag.rpartition("_")
        if pipeline == "model":
            following = f"{use_case}_deployment"
            self.runs[following] = self.wait_for_run(following, started)
            self.follow(following, self.runs[following])

    def airlock(self, *arguments: str, **environment: str) -> str:
        """Run the command on the stack, and return what it printed."""
        command = [str(Path(sys.executable).parent / "airlock"), *arguments]
        private = os.environ | {"AIRLOCK_HOME": str(self.stack.home)} | environment
        done = subprocess.run(command, env=private, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def through(self, use_case: str, pipelines: tuple[str, ...] = ("data", "model", "deployment")) -> dict[str, str]:
        """Run the pipelines from the first to the last; return DAG to run."""
        started = now()
        first = f"{use_case}_{pipelines[0]}"
        self.runs[first] = self.person("data_engineer").trigger(first)
        for pipeline in pipelines:
            dag = f"{use_case}_{pipeline}"
            self.runs[dag] = self.runs.get(dag) or self.wait_for_run(dag, started)
            self.follow(dag, self.runs[dag])
        return self.runs
