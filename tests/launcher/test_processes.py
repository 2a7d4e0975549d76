"""Starting, finding and stopping real processes."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from airlock.launcher.processes import PidFile, ServiceProcess

SLEEPER = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
# A child in a session of its own, as a step's subprocess is: the leader's death does not reach it.
FAMILY = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {SLEEPER!r}], start_new_session=True)
print("family", flush=True)
time.sleep(600)
"""

Start = Callable[[str], ServiceProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[ServiceProcess] = []

    def start(script: str, name: str = "sleeper") -> ServiceProcess:
        process = ServiceProcess(name, run=tmp_path / "run", logs=tmp_path / "logs")
        process.start([sys.executable, "-c", script], dict(os.environ), tmp_path)
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop(grace=0.1)


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.02)


class TestStop:
    def test_a_willing_process_ends_well_within_its_grace(self, start: Start) -> None:
        process = start(SLEEPER)
        leader = process.leader()
        assert leader is not None
        began = time.monotonic()
        process.stop(grace=10)
        assert time.monotonic() - began < 5
        assert process.members() == []
        assert not process.pid_file.exists()

    def test_a_process_that_ignores_sigterm_is_killed(self, start: Start) -> None:
        process = start(DEAF)
        wait_for(lambda: "deaf" in process.tail())
        process.stop(grace=0.2)
        assert process.leader() is None

    def test_children_with_sessions_of_their_own_are_stopped_too(self, start: Start) -> None:
        process = start(FAMILY)
        wait_for(lambda: "family" in process.tail() and len(process.members()) == 2)
        members = process.members()
        process.stop(grace=5)
        assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in members)

    def test_workers_whose_leader_was_killed_are_found(self, start: Start) -> None:
        process = start(FAMILY)
        wait_for(lambda: len(process.members()) == 2)
        leader = process.leader()
        assert leader is not None
        leader.kill()
        wait_for(lambda: process.leader() is None)
        assert len(process.members()) == 1
        process.stop(grace=5)
        assert process.members() == []

    def test_stopping_what_never_ran_does_nothing(self, tmp_path: Path) -> None:
        ServiceProcess("ghost", run=tmp_path / "run", logs=tmp_path / "logs").stop(grace=1)


FORKER = """
import os, sys, time, msgspec
from airlock.launcher.processes import Fork, record
for fork in msgspec.json.decode(sys.stdin.buffer.read(), type=list[Fork]):
    if not (pid := os.fork()):
        os.setsid()
        if not os.fork():
            time.sleep(600)
        time.sleep(600)
    record(fork.pid_file, pid)
"""


class TestForksOfOneProcess:
    """As Airflow's components are: the system shows their parent's mark on each of them."""

    @pytest.fixture
    def forks(self, tmp_path: Path) -> Iterator[list[ServiceProcess]]:
        folders = {"run": tmp_path / "run", "logs": tmp_path / "logs"}
        parent = ServiceProcess("parent", **folders)
        forks = [ServiceProcess(name, **folders, family=parent.mark) for name in ("one", "two")]
        plan = [fork.fork([], dict(os.environ), tmp_path) for fork in forks]
        parent.start([sys.executable, "-c", FORKER], dict(os.environ), tmp_path, msgspec.json.encode(plan))
        wait_for(lambda: parent.exit_code() == 0 and all(len(fork.members()) == 2 for fork in forks))
        yield forks
        parent.stop(grace=0.1)
        assert not any(fork.members() for fork in forks), "stopping the parent sweeps up its forks"

    def test_each_has_its_own_members(self, forks: list[ServiceProcess]) -> None:
        one, two = ({member.pid for member in fork.members()} for fork in forks)
        assert not one & two

    def test_one_stops_without_the_other(self, forks: list[ServiceProcess]) -> None:
        forks[0].stop(grace=5)
        assert forks[0].members() == []
        assert len(forks[1].members()) == 2

    def test_a_worker_is_found_after_its_leader_was_killed(self, forks: list[ServiceProcess]) -> None:
        leader = forks[0].leader()
        assert leader is not None
        leader.kill()
        wait_for(lambda: forks[0].leader() is None)
        assert len(forks[0].members()) == 1


class TestPidFile:
    def test_another_handle_finds_the_process(self, start: Start, tmp_path: Path) -> None:
        process = start(SLEEPER)
        again = ServiceProcess("sleeper", run=tmp_path / "run", logs=tmp_path / "logs")
        assert again.leader() == process.leader()

    def test_a_recycled_pid_is_never_touched(self, start: Start, tmp_path: Path) -> None:
        stranger = start(SLEEPER, "stranger").leader()
        assert stranger is not None
        victim = ServiceProcess("victim", run=tmp_path / "run", logs=tmp_path / "logs")
        victim.pid_file.write_bytes(msgspec.json.encode(PidFile(stranger.pid, stranger.create_time() - 60)))
        assert victim.leader() is None
        victim.stop(grace=1)
        assert stranger.is_running(), "the pid now belongs to somebody else"

    def test_a_pid_file_cut_short_by_a_crash_hides_nothing(self, start: Start) -> None:
        process = start(SLEEPER)
        process.pid_file.write_bytes(b'{"pid": 1')
        assert process.leader() is None
        assert len(process.members()) == 1
        process.stop(grace=1)
        assert process.members() == []

    def test_a_process_that_died_at_once_has_an_exit_status(self, start: Start) -> None:
        process = start("import sys; print('no'); sys.exit(3)")
        wait_for(lambda: process.exit_code() is not None)
        assert process.exit_code() == 3
        assert process.leader() is None
        assert process.tail() == "no"
