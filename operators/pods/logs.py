"""The log of a pod, complete and in order, also over broken connections and from one worker to the next.

The kubelet writes a timestamp in front of every line. Whoever shows lines keeps the last one's; who goes on asks from
there and leaves out what was seen. A stream is read in a thread of its own, so that a silent step holds nothing up.
"""

import queue
import re
import threading
from contextlib import suppress
from datetime import datetime
from typing import TypeAlias

import msgspec
from urllib3.exceptions import HTTPError

from airlock.errors import AirlockError
from airlock.operators.pods.cluster import Cluster
from airlock.operators.pods.diagnosis import STEP

STAMP = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ?(.*)$", re.DOTALL)
PAUSE = 1.0


class Line(msgspec.Struct, frozen=True):
    """A line of a pod's log.

    :param moment: when it was written, nanoseconds since the epoch on the node's clock.
    """

    pod: str
    moment: int
    text: str


Lines: TypeAlias = "queue.SimpleQueue[Line]"


class Follower(threading.Thread):
    """Puts the lines of a pod's log into a queue.

    :param since: moment of the last line that was seen already; 0 for none.
    """

    def __init__(self, cluster: Cluster, pod: str, lines: Lines, since: int) -> None:
        super().__init__(name=f"log of {pod}", daemon=True)
        self.cluster = cluster
        self.pod = pod
        self.lines = lines
        self.since = since
        self.over = threading.Event()

    def run(self) -> None:
        """Follow until the pod is over, then read once more: a stream may have broken just before."""
        last = False
        while not last:
            last = self.over.is_set()
            # Not started yet, gone, or a broken stream: whoever watches the pod knows which.
            with suppress(AirlockError, HTTPError, OSError):
                self._read()
            self.over.wait(0 if last else PAUSE)

    def finish(self, seconds: float) -> None:
        """Wait for the last lines of a pod that is over."""
        self.over.set()
        self.join(seconds)

    def _read(self) -> None:
        stream = self.cluster.log(self.pod, STEP, self.since)
        try:
            rest = b""
            for chunk in stream.stream(amt=None):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    self._take(line)
            if rest and self.over.is_set():
                self._take(rest)
        finally:
            stream.release_conn()

    def _take(self, data: bytes) -> None:
        moment, text = stamped(data.decode(errors="replace"))
        if moment == 0:
            self.lines.put(Line(self.pod, self.since, text))
        elif moment > self.since:
            self.since = moment
            self.lines.put(Line(self.pod, moment, text))


def stamped(line: str) -> tuple[int, str]:
    """Split a line into the moment in front of it, in nanoseconds, and its text; 0 when there is none."""
    found = STAMP.match(line)
    if found is None:
        return 0, line
    second, fraction, zone, text = found.groups()
    whole = datetime.fromisoformat(second + zone.replace("Z", "+00:00")).timestamp()
    return int(whole) * 10**9 + int((fraction or "").ljust(9, "0")), text
