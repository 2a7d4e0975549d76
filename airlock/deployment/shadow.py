"""A candidate beside the champion: it gets copies of real requests, its answers are compared and thrown away.

A copy is sent after the champion's answer came, never waits for and never delays anybody; of too many at once, and of
large bodies, none is made, and that is counted.
"""

import asyncio
from collections import defaultdict
from typing import Any

import httpx
import msgspec
from starlette.requests import Request

AT_ONCE = 8
BODY = 1 << 20


class Compared(msgspec.Struct, kw_only=True):
    """What copies were answered.

    :param same: answers with the champion's label.
    :param failed: copies that were not answered where the champion did answer.
    :param missed: requests that were not copied.
    :param seconds: that the candidate took for all answers together; ``champion_seconds`` the champion for the same.
    """

    answers: int = 0
    same: int = 0
    failed: int = 0
    missed: int = 0
    seconds: float = 0.0
    champion_seconds: float = 0.0

    @property
    def agreement(self) -> float:
        """Part of the copies that were answered as the champion did; what failed was not."""
        return self.same / max(1, self.answers + self.failed)

    def since(self, before: "Compared") -> "Compared":
        """Return what was counted since."""
        values = {name: getattr(self, name) - getattr(before, name) for name in self.__struct_fields__}
        return Compared(**values)


class Shadow:
    """Copies requests.

    :param client: over which copies are sent.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.counted: defaultdict[str, Compared] = defaultdict(Compared)
        self._running: set[asyncio.Task[None]] = set()

    def takes(self, request: Request) -> bool:
        """Is this a prediction small enough to be kept for a copy?"""
        return request.method == "POST" and 0 < int(request.headers.get("content-length", 0)) <= BODY

    def copy(self, request: httpx.Request, manifest: str, answer: httpx.Response) -> None:
        """Send a copy to the release with this manifest, and compare with what the champion answered."""
        if not answer.is_success:
            return
        if len(self._running) >= AT_ONCE:
            self.counted[manifest].missed += 1
            return
        task = asyncio.create_task(self._compare(request, manifest, answer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _compare(self, request: httpx.Request, manifest: str, answer: httpx.Response) -> None:
        counted = self.counted[manifest]
        try:
            reply = await self.client.send(request)
        except httpx.HTTPError:
            counted.failed += 1
            return
        if not reply.is_success:
            counted.failed += 1
            return
        counted.answers += 1
        counted.same += labels(reply) == labels(answer)
        counted.seconds += reply.elapsed.total_seconds()
        counted.champion_seconds += answer.elapsed.total_seconds()


def labels(reply: httpx.Response) -> Any:
    """What an answer says, whatever its exact probabilities: the label, or the best class of each row of a tensor."""
    try:
        said = reply.json()
        if "label" in said:
            return said["label"]
        return [_best(output["data"], output["shape"]) for output in said["outputs"]]
    except (ValueError, KeyError, TypeError):  # some other output: the same when the bytes are
        return reply.content


def _best(values: list[float], shape: list[int]) -> list[int]:
    width = shape[-1]
    rows = [values[start : start + width] for start in range(0, len(values), width)]
    return [row.index(max(row)) for row in rows]
