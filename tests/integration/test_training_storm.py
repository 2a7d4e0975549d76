"""Searches and trainings beside the worker, disturbed at random: each ends right, or fails with the right class."""

import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.aftermath import MEMORY, Run
from tests.integration.conftest import Stack
from tests.integration.storm import Storm
from tests.model.conftest import digits

__all__ = ["digits"]
pytestmark = pytest.mark.integration
CGROUPS = Path("/sys/fs/cgroup/memory")
ROOM = 64 * 2**20


class LocalStorm(Storm):
    """Faults of processes beside the worker."""

    def faults(self) -> dict[str, Callable[[Run], bool]]:
        """The memory of one process can be limited by root, where the kernel has the first kind of control groups."""
        limited = os.geteuid() == 0 and (CGROUPS / "memory.limit_in_bytes").exists()
        return super().faults() | ({MEMORY: self.use_up_memory} if limited else {})

    def use_up_memory(self, run: Run) -> bool:
        """Give the running step little room, and make it grow: the kernel kills it."""
        group = CGROUPS / f"airlock-storm-{os.getpid()}-{self.number}"
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(ROOM))
        for process in self.steps(run):
            with suppress(ProcessLookupError):
                (group / "cgroup.procs").write_text(str(process.pid))
        return super().use_up_memory(run)


@pytest.mark.parametrize(
    "count", [pytest.param(4, marks=pytest.mark.timeout(900)),
              pytest.param(30, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)  # fmt: skip
def test_every_run_ends_right_or_says_why(stack: Stack, digits: dict[str, Any], count: int) -> None:
    seed = random.randrange(10**6)
    storm = LocalStorm(stack, seed, digits)
    print(f"seed {seed}: {', '.join(storm.faults())}", flush=True)
    runs = storm.rage(count)
    print(f"{len(runs)} runs, {dict(storm.done)}")
    assert storm.done.total() == count
    assert any(run.hits for run in runs)
