"""The local place: a step as a process beside the worker, in a process group of its own."""

import queue
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import msgspec

from airlock import progress
from airlock.operators.environment import step_environment
from airlock.operators.execution import Ending, Execution, Kind
from airlock.operators.memory import MemoryWatch
from airlock.operators.state import PROGRESS, TaskState
from airlock.settings import settings
from airlock.steps import workers
from airlock.steps.lifeline import STOPPED
from airlock.steps.process import StepProcess, end, has_ended, start_step

if TYPE_CHECKING:
    from airflow.sdk import Context

Lines: TypeAlias = "queue.SimpleQueue[tuple[int, str | None]]"
"""Which worker said it, and what; ``None`` when it will say nothing more."""
TICK, REST = 1.0, 0.05
ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GRACE = 3.0
"""Seconds that a step has for a last checkpoint when its task is stopped: Airflow kills the task after five."""
OTHERS = 60.0
"""Seconds that the other workers have after the first one has ended well."""


class SubprocessPlace:
    """Runs a step as a process of its own on the worker, or as several that work together."""

    step: ClassVar[str]
    _processes: tuple[StepProcess, ...] = ()

    def run_step(self, context: "Context", execution: Execution) -> Ending:
        """Run ``airlock.steps`` and pass its lines on; return how it ended."""
        operator: Any = self
        operator.require_wanted()
        arguments = [self.step, "--spec", execution.document]
        environment = step_environment(self.step) | operator.secrets() | execution.profile.environment
        count = execution.profile.workers
        lines: Lines = queue.SimpleQueue()
        memory = MemoryWatch()
        for index in range(count):
            told = environment | ({workers.COUNT: str(count), workers.INDEX[0]: str(index)} if count > 1 else {})
            process = start_step(settings().home, arguments, told)
            self._processes += (process,)
            threading.Thread(target=_read, args=(index, process, lines), daemon=True).start()
        try:
            return self._follow(context, lines, memory)
        finally:
            for process in self._processes:
                end(process, signal.SIGKILL)
            self._processes = ()

    def on_line(self, context: "Context", line: str) -> None:
        """Log a line; progress is also kept where people find it."""
        state = progress.parse(line)
        self.log.info("%s", state or line)  # type: ignore[attr-defined]
        if state:
            TaskState(context).set(PROGRESS, msgspec.to_builtins(state))

    def on_kill(self) -> None:
        """Ask the step to end, then kill it and everything it started."""
        super().on_kill()  # type: ignore[misc]
        processes, deadline = self._processes, time.monotonic() + GRACE
        for process in processes:
            end(process, signal.SIGTERM)
        while time.monotonic() < deadline and not all(map(has_ended, processes)):
            time.sleep(0.05)
        for process in processes:
            end(process, signal.SIGKILL)

    def _follow(self, context: "Context", lines: "Lines", memory: MemoryWatch) -> Ending:
        """Pass lines on until all workers ended, or one of them badly."""
        running = dict(enumerate(self._processes))
        several, deadline = len(running) > 1, float("inf")
        while running and time.monotonic() < deadline:
            self.require_wanted()  # type: ignore[attr-defined]
            silent = self._take(context, lines, memory, several)
            over = [silent] if silent in running else [i for i, process in running.items() if has_ended(process)]
            for index in over:
                status = running.pop(index).wait()
                if index != silent or status != 0:
                    self._rest(context, lines, several)
                if status != 0:
                    return ending_of(status, memory)
                deadline = time.monotonic() + OTHERS
        return Ending(kind="ended", reason="ended with status 0")

    def _take(self, context: "Context", lines: "Lines", memory: MemoryWatch, several: bool) -> int:
        """Show a line if there is one soon; return the worker that has nothing more to say, -1 for none."""
        try:
            index, line = lines.get(timeout=TICK)
        except queue.Empty:
            memory.look(self._processes)
            return -1
        if line is None:
            return index
        memory.look(self._processes)
        self.on_line(context, of_worker(index, line, several))
        return -1

    def _rest(self, context: "Context", lines: "Lines", several: bool) -> None:
        """Show what was said before the end."""
        with suppress(queue.Empty):
            while True:
                index, line = lines.get(timeout=REST)
                if line is not None:
                    self.on_line(context, of_worker(index, line, several))


def of_worker(index: int | str, line: str, several: bool) -> str:
    """A line of the log with the worker that said it, when there are several."""
    return f"[{index}] {line}" if several and not line.startswith(progress.MARK) else line


def ending_of(status: int, memory: MemoryWatch) -> Ending:
    """Say how a step ended from its exit status; below 0, the signal that ended it."""
    if status == STOPPED or -status in ASKED:
        return Ending(kind="interrupted", reason="was asked to end")
    if status == -signal.SIGKILL:
        return memory.kill()
    if status < 0:
        return Ending(kind="user", reason=f"was ended by {signal.Signals(-status).name}", hint="Read the log above.")
    kind: Kind = "silent" if status == 2 else "user"
    return Ending(kind=kind, reason=f"ended with status {status}", hint="Read the log above: the step ended itself.")


def _read(index: int, process: StepProcess, lines: Lines) -> None:
    try:
        for line in process.lines():
            lines.put((index, line))
    finally:
        lines.put((index, None))
