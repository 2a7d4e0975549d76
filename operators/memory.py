"""Whether a step that was killed had used up the memory: the kernel says so only in a counter."""

import time
from collections.abc import Sequence
from pathlib import Path

from airlock.operators.execution import Ending
from airlock.steps.process import StepProcess, resident

COUNTER = Path("/proc/vmstat")
SECONDS = 1.0
GIB = 2**30


class MemoryWatch:
    """The most memory that processes held, and what the kernel killed since."""

    def __init__(self) -> None:
        self.peak = 0
        self._kills = kills()
        self._looked = time.monotonic()

    def look(self, processes: Sequence[StepProcess]) -> None:
        """Take a figure, at most once a second."""
        if time.monotonic() - self._looked >= SECONDS:
            self._looked = time.monotonic()
            self.peak = max(self.peak, sum(map(resident, processes)))

    def kill(self) -> Ending:
        """Say what a SIGKILL was: the kernel's, for memory, or somebody's."""
        if kills() == self._kills:
            return Ending(kind="interrupted", reason="was killed by SIGKILL")
        return Ending(
            kind="out of memory",
            reason=f"ran out of memory and was killed by the kernel; it held at least {self.peak / GIB:.2f} GiB",
            hint="Use smaller batches or fewer parallel tasks, or a compute profile with more memory: `compute=`, or "
            "`on_out_of_memory` of the profile.",
        )


def kills() -> int:
    """How often the kernel has killed a process for memory since the machine started."""
    try:
        fields = dict(line.split() for line in COUNTER.read_text().splitlines())
    except OSError:
        return 0
    return int(fields.get("oom_kill", 0))
