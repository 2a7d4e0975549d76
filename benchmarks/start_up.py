"""How long ``airlock up`` takes on an empty folder, and on the same folder again; and what the idle stack weighs."""

import tempfile
import time
from pathlib import Path

from reporting import report
from rich.console import Console

from airlock.launcher.stack import down, up
from airlock.launcher.status import status, total_memory

PORT = 8790
IDLE_SECONDS = 20
LIMIT_MIB = 1600


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory(prefix="airlock-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        try:
            first = timed_up(home)
            down(home)
            second = timed_up(home)
            time.sleep(IDLE_SECONDS)
            memory = total_memory(status(home))
        finally:
            down(home)
    print(f"first start {first:.1f} s, second start {second:.1f} s, idle {memory:.0f} MiB (sum of PSS)")
    report("second_start_over_first", second / first, 0.5)
    report("idle_memory_over_limit", memory / LIMIT_MIB, 1.0)


def timed_up(home: Path) -> float:
    """Seconds until everything is ready."""
    started = time.perf_counter()
    up(home, port_base=PORT, console=Console())
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
