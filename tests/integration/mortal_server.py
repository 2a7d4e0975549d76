"""An API server that dies where it is told: ``python -m tests.integration.mortal_server``.

Airflow is imported and its application built once; every line on standard input, a JSON :class:`Life`, forks a process
that serves until it is killed. Standard output says ``started PID`` and ``ended PID SIGNAL``.
"""

import functools
import gc
import importlib
import inspect
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import msgspec

POINTS = {
    "before the answer is written ahead": ("airlock.stores.gates:GateRequests.prepare", "before"),
    "after the answer was written ahead": ("airlock.stores.gates:GateRequests.prepare", "after"),
    "before Airflow takes the answer": (
        "airflow.api_fastapi.core_api.routes.public.hitl:handle_event_submit",
        "before",
    ),
    "before Airflow commits the answer": (
        "airflow.api_fastapi.core_api.routes.public.hitl:handle_event_submit",
        "after",
    ),
    "after Airflow committed the answer": ("airlock.plugins.answering:Answering.settle", "before"),
    "before the decision is appended": ("airlock.plugins.answers:GateAnswers.record", "before"),
    "between the decision and the closing": ("airlock.plugins.answers:GateAnswers._close", "before"),
    "before both are committed": ("airlock.plugins.answers:finish_answer", "after"),
    "after both were committed": ("airlock.plugins.answers:write_anchor", "before"),
    "before the reply": ("airlock.plugins.answering:Answering.settle", "after"),
    "after the reply": ("airlock.plugins.answering:_Recording.__call__", "after the body"),
}
"""Where the server can be killed between an answer and its record: what is called then, and on which side of it."""

PATIENCE = 300.0


class Life(msgspec.Struct):
    """How one server lives.

    :param point: where it dies; empty for never.
    """

    port: int
    point: str = ""


class MortalServer:
    """The other end of the pipe, for a test.

    :param environment: complete; names the databases and keys.
    """

    def __init__(self, environment: Mapping[str, str], port: int, log: Any) -> None:
        self.url, self.port = f"http://127.0.0.1:{port}", port
        self.parent = subprocess.Popen(
            [sys.executable, "-m", __name__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,  # nothing is read ahead that select would then wait for
        )
        self.pid = 0

    def start(self, point: str = "") -> None:
        """Start a server and wait until it answers."""
        assert self.parent.stdin is not None
        self.parent.stdin.write(msgspec.json.encode(Life(self.port, point)) + b"\n")
        self.pid = int(self._said("started")[0])
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert time.monotonic() < deadline, "the API server does not answer"
            time.sleep(0.02)

    def wait_until_dead(self) -> int:
        """Wait until the server has died, and return the signal it died of."""
        _, number = self._said("ended")
        self.pid = 0
        return int(number)

    def kill(self) -> int:
        """Kill the server, wherever it is."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait_until_dead()

    def close(self) -> None:
        """Leave no process."""
        if self.pid:
            self.kill()
        self.parent.terminate()
        self.parent.communicate(timeout=20)

    def _said(self, word: str) -> list[str]:
        assert self.parent.stdout is not None
        ready, _, _ = select.select([self.parent.stdout], [], [], PATIENCE)
        assert ready, f"no {word!r} in {PATIENCE} s"
        said = self.parent.stdout.readline().decode().split()
        assert said[:1] == [word], f"the server's parent said {said}; see its log"
        return said[1:]

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/v2/version", timeout=5).is_success
        except httpx.TransportError:
            return False


def main() -> None:
    """Build the application once and fork a server for every line."""
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Airflow logs to standard output
    from airflow.api_fastapi.app import create_app

    app = create_app()
    gc.freeze()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            serve(app, msgspec.json.decode(line, type=Life))
        print(f"started {pid}", file=said, flush=True)
        _, status = os.waitpid(pid, 0)
        print(f"ended {pid} {os.waitstatus_to_exitcode(status) * -1}", file=said, flush=True)


def serve(app: Any, life: Life) -> None:
    """Be the API server."""
    import uvicorn

    if life.point:
        arm(*POINTS[life.point])
    uvicorn.run(app, host="127.0.0.1", port=life.port, log_level="warning", access_log=False)
    os._exit(0)


def arm(name: str, side: str) -> None:
    """Make a function deadly."""
    module, _, path = name.partition(":")
    owner: Any = importlib.import_module(module)
    *holders, attribute = path.split(".")
    for holder in holders:
        owner = getattr(owner, holder)
    setattr(owner, attribute, deadly(getattr(owner, attribute), side))


def deadly(function: Callable[..., Any], side: str) -> Callable[..., Any]:
    """Die before or after a call of a function."""
    if not inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            die(side == "before")
            result = function(*arguments, **named)
            die(True)
            return result

        return call

    @functools.wraps(function)
    async def await_it(*arguments: Any, **named: Any) -> Any:
        die(side == "before")
        result = await function(*arguments, **named)
        die(side == "after" or arguments[-1]["type"] == "http.response.body")
        return result

    return await_it


def die(now: bool) -> None:
    """Die at once, with nothing tidied up."""
    if now:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)


if __name__ == "__main__":
    main()
