"""A training's metrics on their way to its run: sent beside the training, each epoch once, none lost.

A tracking server that is away for a while costs a training nothing; one that is still away at the end does.
"""

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from airlock.errors import AirlockError, InfrastructureError
from airlock.model.tracking import Point, TrackedRun

PAUSE = 2.0
"""Seconds until a server that was away is asked again."""
REST = 1.0
"""Seconds between two requests: short epochs go together, so that sending takes nothing from the training."""
MOST = 100
"""Epochs of one request: MLflow takes 1,000 metrics."""
METRIC = "loss"
"""Logged at every epoch: by it one knows which epochs the run has."""


class Curves:
    """The metrics per epoch of one run.

    :param run: begun by this try, or by one before.
    :param parameters: of the run, sent with the first epochs; the same again is no error.
    """

    def __init__(self, run: TrackedRun, parameters: Mapping[str, Any] | None = None) -> None:
        self.run = run
        self._parameters = dict(parameters or {})
        self._known = set() if run.fresh else run.steps(METRIC)
        self._waiting: queue.SimpleQueue[Point | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._error: AirlockError | None = None
        self._sender = threading.Thread(target=self._send, name="curves", daemon=True)
        self._sender.start()

    def __enter__(self) -> "Curves":
        """Give itself."""
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Send what a training that failed has left, if the server takes it now."""
        if error is not None and self._sender.is_alive():
            self._end()

    def add(self, epoch: int, metrics: dict[str, float]) -> None:
        """Take an epoch's metrics; one that the run has is left out."""
        if epoch not in self._known:
            self._known.add(epoch)
            self._waiting.put(Point(epoch, metrics, time.time()))

    def note(self, metrics: dict[str, float]) -> None:
        """Take metrics that have no epoch, to be sent with the epochs."""
        self._waiting.put(Point(0, metrics, time.time()))

    def close(self, history: Sequence[dict[str, float]] = ()) -> None:
        """Return when everything is sent.

        :param history: the metrics of every epoch from the first, sent as far as the run lacks them: a try that was
            killed may have taken some with it.
        :raises InfrastructureError: the server does not take them.
        """
        for epoch, metrics in enumerate(history, 1):
            self.add(epoch, metrics)
        self._end()
        if self._error is not None:
            raise self._error

    def _end(self) -> None:
        self._closing.set()
        self._waiting.put(None)
        self._sender.join()

    def _send(self) -> None:
        last = False
        while not last:
            points, last = self._taken()
            while (points or self._parameters) and not self._sent(points):
                if self._closing.wait(PAUSE):
                    return
            self._closing.wait(REST)

    def _taken(self) -> tuple[list[Point], bool]:
        """Wait for an epoch and take all that are there; say whether no more will come."""
        points: list[Point] = []
        while (point := self._waiting.get()) is not None:
            points.append(point)
            if len(points) == MOST or self._waiting.empty():
                return points, False
        return points, True

    def _sent(self, points: list[Point]) -> bool:
        try:
            self.run.curve(points, self._parameters)
            self._parameters = {}
        except InfrastructureError as error:
            self._error = error
            return False
        except AirlockError as error:
            self._error = error
            return True
        self._error = None
        return True
