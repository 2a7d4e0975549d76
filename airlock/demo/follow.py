"""Follows one run after another: says what starts and ends, and answers the gates as that role's demo user."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from airlock.demo.airflow_api import AirflowApi
from airlock.errors import InfrastructureError, UserError
from airlock.governance.book import Book
from airlock.governance.policy import APPROVE
from airlock.progress import Progress
from airlock.stores.gates import GateRequests

POLL_SECONDS = 0.5
ENDED = ("success", "failed", "upstream_failed", "skipped", "removed")
FAILED = ("failed", "upstream_failed")
SAID = "Answered by the demo."


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One task of the tour.

    :param seconds: from its start to its end; for a gate the time it waited.
    :param cached: its outputs were reused.
    """

    dag: str
    task: str
    state: str
    seconds: float
    cached: bool


class Follower:
    """Follows the runs of a use case's DAGs.

    :param watcher: somebody who may read all runs.
    :param person: role to that role's demo user.
    :param book: reads the ledger: which roles a request waits for now.
    :param say: prints a line.
    :param show: shows the passing state of a running step; empty to clear it.
    """

    def __init__(
        self,
        watcher: AirflowApi,
        person: Callable[[str], AirflowApi],
        requests: GateRequests,
        book: Callable[[], Book],
        say: Callable[[str], None],
        show: Callable[[str], None],
    ) -> None:
        self.watcher = watcher
        self.person = person
        self.requests = requests
        self.book = book
        self.say = say
        self.show = show
        self.steps: list[Step] = []
        self.answered: set[str] = set()

    @property
    def gates(self) -> int:
        """How many gates were answered."""
        return len(self.answered)

    def follow(self, dag: str, run: str) -> None:
        """Follow a run to its end.

        :raises UserError: it failed; names the tasks and what they said.
        """
        self.say(f"[bold]{dag}[/] {run}")
        told: set[str] = set()
        while True:
            tasks = self.watcher.tasks(dag, run)
            for task in sorted(tasks, key=lambda t: t["end_date"] or "~"):
                self._task(dag, run, task, told)
            if all(task["state"] in ENDED for task in tasks):
                return self._ended(dag, run, tasks)
            time.sleep(POLL_SECONDS)

    def wait_for_run(self, dag: str, after: datetime, seconds: float = 60) -> str:
        """Wait for the run that an asset starts and return its id."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if runs := self.watcher.runs(dag, after.isoformat()):
                return str(runs[-1]["dag_run_id"])
            time.sleep(POLL_SECONDS)
        raise InfrastructureError(
            f"{dag} was not started within {seconds:.0f} s.", hint="See `airlock logs scheduler`."
        )

    def _task(self, dag: str, run: str, task: dict[str, Any], told: set[str]) -> None:
        name, state = str(task["task_id"]), task["state"]
        if name in told:
            return
        if state in ENDED:
            told.add(name)
            self._told(dag, run, name, task)
        elif state == "awaiting_input":
            self._answer(dag, run, name)
        elif state == "running" and (value := self.watcher.progress(dag, run, name)):
            self.show(f"  {name}: {msgspec.convert(value, Progress)}")

    def _told(self, dag: str, run: str, name: str, task: dict[str, Any]) -> None:
        summary = self.watcher.xcom(dag, run, name, "summary") or {}
        cached = isinstance(summary, dict) and bool(summary.get("cached"))
        step = Step(dag=dag, task=name, state=task["state"], seconds=_seconds(task), cached=cached)
        self.steps.append(step)
        self.show("")
        note = " [green]reused[/]" if cached else ""
        self.say(f"  {name:<16} {step.state:<8} {step.seconds:6.1f} s{note}")

    def _answer(self, dag: str, run: str, name: str) -> None:
        request = self.requests.find(dag, run, name, -1)
        if request is None:
            raise UserError(f"{dag}.{name} waits for an answer, but filed no gate request.")
        awaited = self.book().tally(request.id).awaited(time.time())
        if not awaited:  # it was answered just now
            return
        person = self.person(awaited[0])
        reply = person.answer(dag, run, name, APPROVE, SAID, self._filled_in(request.policy))
        if reply.status_code == 409:  # the gate is still closing behind the task, or was answered just now
            return
        if reply.is_error:
            raise UserError(f"The {request.gate} gate refused {person.username}: {reply.text}.")
        self.answered.add(request.id)
        self.say(f"  {name:<16} [yellow]{APPROVE}[/] by {person.username}, a {awaited[0]}")

    def _filled_in(self, policy: str) -> dict[str, Any]:
        """The whole checklist, ticked, and every question answered: with its first option, or with who answers."""
        asked = self.book().policies[policy]
        answers = {name: field.options[0] if field.options else SAID for name, field in asked.form.items()}
        return dict.fromkeys(asked.checklist, True) | answers

    def _ended(self, dag: str, run: str, tasks: list[dict[str, Any]]) -> None:
        failed = [str(task["task_id"]) for task in tasks if task["state"] in FAILED]
        if failed:
            said = [self.watcher.xcom(dag, run, name, "summary") for name in failed]
            lines = [str(value.get("headline", value)) for value in said if isinstance(value, dict)]
            raise UserError(f"{dag} failed at {', '.join(failed)}. {' '.join(lines)}", hint="See the tasks' logs.")


def _seconds(task: dict[str, Any]) -> float:
    if not task["start_date"] or not task["end_date"]:
        return 0.0
    started, ended = (datetime.fromisoformat(task[key]) for key in ("start_date", "end_date"))
    return (ended - started).total_seconds()


def now() -> datetime:
    """The current time, in UTC."""
    return datetime.now(UTC)
