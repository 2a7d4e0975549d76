"""Answers several requests in one inference, one batch at a time: an interpreter owns its tensors.

Everything here runs on the event loop; only inference leaves it, to the one thread that may, and only where it takes
longer than a hop to a thread costs.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np

from airlock.deployment.protocol import Tensors, row_count
from airlock.errors import AirlockError, ResourceError

INLINE_SECONDS = 0.001  # an inference that is expected to be shorter is not worth a thread
HOP_SECONDS = 0.0001
MEASURE_SECONDS = 0.3
PAYS = 0.95  # a larger batch must be this much faster: who is in it waits for all of it
FADE = 0.1  # weight of the newest inference in what is expected of the next

# What engines and use cases' code raise.
FAILURES = (AirlockError, ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)

Infer = Callable[[Tensors], Tensors]


class Pace(msgspec.Struct, frozen=True):
    """How fast a model is here.

    :param rows: in the batch that pays most.
    :param seconds: that one row takes alone.
    """

    rows: int
    seconds: float


def measure(infer: Infer, sample: Tensors, most: int) -> Pace:
    """Try batches of 1, 2, 4 … rows: more rows at once save hops and reads of the weights, until they leave the cache.

    :param sample: a batch of one.
    :param most: rows that a batch may have.
    """
    started = time.perf_counter()
    best, alone, rows = 1, 0.0, 1
    least = float("inf")
    while rows <= most and time.perf_counter() - started < MEASURE_SECONDS:
        batch = {name: np.repeat(values, rows, axis=0) for name, values in sample.items()}
        seconds = min(_timed(infer, batch) for _ in range(4))
        alone = alone or seconds
        if (seconds + HOP_SECONDS) / rows < PAYS * least:
            best, least = rows, (seconds + HOP_SECONDS) / rows
        rows *= 2
    return Pace(best, alone)


class _Waiting(msgspec.Struct, frozen=True):
    inputs: Tensors
    rows: int
    future: "asyncio.Future[Tensors]"


class Batcher:
    """Puts what waits into batches.

    How it works: the first request of a batch waits ``delay`` for others (with none, only for what the event loop has
    already received); the batch then takes what waits and fits. While it is computed the next one gathers.

    :param infer: batch in, batch out; never called twice at once.
    :param thread: the one thread that ``infer`` may be called in.
    :param pace: rows in a batch (1 turns batching off), and what a row is expected to take.
    :param delay: seconds.
    """

    def __init__(self, infer: Infer, thread: ThreadPoolExecutor, pace: "Pace", delay: float) -> None:
        self.infer = infer
        self.thread = thread
        self.most = pace.rows
        self.delay = delay
        self.batches = 0
        self.rows = 0
        self._waiting: deque[_Waiting] = deque()
        self._scheduled: asyncio.Handle | None = None
        self._began = 0.0  # when the batch that is computed in the thread began
        self._expected = pace.seconds

    @property
    def stuck(self) -> float:
        """Seconds for which the current batch has been computed; 0 when there is none."""
        return time.monotonic() - self._began if self._began else 0.0

    async def ask(self, inputs: Tensors, timeout: float) -> Tensors:
        """Return the outputs for some rows.

        :param timeout: seconds.
        :raises ResourceError: not answered in time.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(inputs, row_count(inputs), loop.create_future())
        self._waiting.append(waiting)
        if not self._began:
            self._schedule(loop)
        late = loop.call_later(timeout, _give_up, waiting.future, timeout)
        try:
            return await waiting.future
        finally:
            late.cancel()

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        full = sum(item.rows for item in self._waiting) >= self.most
        if self._scheduled and full and self.delay:
            self._scheduled.cancel()
            self._scheduled = None
        if self._scheduled is None:
            now = full or not self.delay
            self._scheduled = loop.call_soon(self._run) if now else loop.call_later(self.delay, self._run)

    def _run(self) -> None:
        """Compute one batch."""
        self._scheduled = None
        taken = self._take()
        if not taken:
            return
        loop = asyncio.get_running_loop()
        rows = sum(item.rows for item in taken)
        self.batches, self.rows = self.batches + 1, self.rows + rows
        if self._expected * rows <= INLINE_SECONDS:
            self._done(taken, *self._computed(taken, rows))
            if self._waiting:
                self._schedule(loop)
            return
        self._began = time.monotonic()
        work = loop.run_in_executor(self.thread, self._computed, taken, rows)
        work.add_done_callback(lambda done: self._back(taken, done))

    def _back(self, taken: list[_Waiting], done: "asyncio.Future[tuple[list[Tensors], Exception | None]]") -> None:
        self._began = 0.0
        if not done.cancelled():
            self._done(taken, *done.result())
        if self._waiting:
            self._run()  # who waits has waited long enough

    def _take(self) -> list[_Waiting]:
        """Remove from the queue what goes into one batch: same shapes, no more rows than fit, nobody who gave up."""
        taken: list[_Waiting] = []
        room, shapes = self.most, None
        while self._waiting:
            item = self._waiting[0]
            if not item.future.done():
                own = [array.shape[1:] for _, array in sorted(item.inputs.items())]
                if taken and (item.rows > room or own != shapes):
                    break
                taken.append(item)
                room, shapes = room - item.rows, own
            self._waiting.popleft()
            if room < 1:
                break
        return taken

    def _computed(self, taken: list[_Waiting], rows: int) -> tuple[list[Tensors], Exception | None]:
        started = time.perf_counter()
        try:
            outputs = self.infer(_joined(taken))
        except FAILURES as error:  # the answer of those who asked, not the end of the batcher
            return [], error
        self._expected += FADE * ((time.perf_counter() - started) / rows - self._expected)
        return _split(taken, outputs), None

    @staticmethod
    def _done(taken: list[_Waiting], outputs: list[Tensors], error: Exception | None) -> None:
        for at, item in enumerate(taken):
            if item.future.done():
                continue
            if error:
                item.future.set_exception(error)
            else:
                item.future.set_result(outputs[at])


def _joined(taken: list[_Waiting]) -> Tensors:
    if len(taken) == 1:
        return taken[0].inputs
    return {name: np.concatenate([item.inputs[name] for item in taken]) for name in taken[0].inputs}


def _split(taken: list[_Waiting], outputs: Tensors) -> list[Tensors]:
    if len(taken) == 1:
        return [outputs]
    ends: list[int] = np.cumsum([item.rows for item in taken]).tolist()
    return [
        {name: values[end - item.rows : end] for name, values in outputs.items()}
        for item, end in zip(taken, ends, strict=True)
    ]


def _timed(infer: Infer, batch: Tensors) -> float:
    started = time.perf_counter()
    infer(batch)
    return time.perf_counter() - started


def _give_up(future: "asyncio.Future[Any]", timeout: float) -> None:
    if not future.done():
        future.set_exception(
            ResourceError(f"The model did not answer within {timeout:g} s.", hint="Ask later, or for fewer rows.")
        )
