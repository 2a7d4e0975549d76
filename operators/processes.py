"""The local place: a step as a process beside the worker, in a process group of its own."""

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

import msgspec

from airlock import progress
from airlock.operators.environment import step_environment
from airlock.settings import settings
from airlock.steps.process import StepProcess, start_step

if TYPE_CHECKING:
    from airflow.sdk import Context


class SubprocessPlace:
    """Runs a step as a process of its own on the worker."""

    step: ClassVar[str]
    _process: StepProcess | None = None

    def run_step(self, context: "Context", document: str) -> str:
        """Run ``airlock.steps`` and pass its lines on; return how it ended."""
        arguments = [self.step, "--spec", document]
        self._process = start_step(settings().home, arguments, step_environment(self.step) | self.secrets())  # type: ignore[attr-defined]
        for line in self._process.lines():
            self.on_line(context, line)
        return _ending(self._process.wait())

    def on_line(self, context: "Context", line: str) -> None:
        """Log a line; progress is also kept where the console finds it."""
        state = progress.parse(line)
        self.log.info("%s", state or line)  # type: ignore[attr-defined]
        if state and "task_state_store" in context:
            context["task_state_store"].set("progress", msgspec.to_builtins(state))

    def on_kill(self) -> None:
        """Kill the step and everything it started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was killed by {signal.Signals(-status).name}"
