"""A step ends with whoever asked for it, and when it is asked to.

A caller that is killed says nothing. What it holds is closed by the kernel though: the step keeps the reading end of a
pipe whose other end only its caller has, and takes its whole process group down when that end closes.
"""

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

VARIABLE = "AIRLOCK_LIFELINE"
"""Number of the descriptor that a caller hands to its step."""
STOPPED = 128 + signal.SIGTERM


def hold() -> None:
    """Watch the caller's pipe, when there is one."""
    descriptor = os.environ.pop(VARIABLE, "")
    if descriptor:
        threading.Thread(target=_watch, args=(int(descriptor),), name="lifeline", daemon=True).start()


def end_when_asked() -> None:
    """End with status 143 on SIGTERM: the first process of a container is not stopped by it unless it says so.

    A step with something to save installs a handler of its own instead.
    """
    signal.signal(signal.SIGTERM, _stop)


def _watch(descriptor: int) -> None:
    os.set_inheritable(descriptor, False)
    os.read(descriptor, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(STOPPED)
