"""A training's metrics on their way to its run: sent beside the training, each epoch once, none lost.

A tracking server that is away for a while costs a training nothing; one that is still away at the end does.
"""

import queue
import threading
from collections.abc import Sequence

from airlock.errors import AirlockError, InfrastructureError
from airlock.model.tracking import TrackedRun

PAUSE = 2.0
METRIC = "loss"
"""Logged at every epoch: by it one knows which epochs the run has."""


class Curves:
    """The metrics per epoch of one run.

    :param run: begun by this try, or by one before.
    """

    def __init__(self, run: TrackedRun) -> None:
        self.run = run
        self._known = run.steps(METRIC)
        self._waiting: queue.SimpleQueue[tuple[int, dict[str, float]] | None] = queue.SimpleQueue()
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
            self._waiting.put((epoch, metrics))

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
        while (taken := self._waiting.get()) is not None:
            epoch, metrics = taken
            while not self._sent(epoch, metrics):
                if self._closing.wait(PAUSE):
                    return

    def _sent(self, epoch: int, metrics: dict[str, float]) -> bool:
        try:
            self.run.metrics(metrics, step=epoch)
        except InfrastructureError as error:
            self._error = error
            return False
        except AirlockError as error:
            self._error = error
            return True
        self._error = None
        return True
