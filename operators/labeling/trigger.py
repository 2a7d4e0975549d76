"""The trigger behind :class:`~airlock.operators.labeling.WaitForLabelsOperator`: counts answers until there are enough.

The server's webhooks are hints that may be lost: they are passed on through PostgreSQL and only cut a pause short.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airlock.errors import AirlockError, InfrastructureError

if TYPE_CHECKING:
    from airlock.labeling.handoff import HandOff
    from airlock.labeling.progress import Progress
    from airlock.labeling.studio import Studio

RECOUNT = 10
"""Polls after which answers are counted although the server's own counts did not change."""


class LabelsTrigger(BaseTrigger):
    """Fires when enough samples of a hand-off have their answers, or when they can never have them.

    :param handoff: digest of its document.
    :param conn_id: Airflow connection; the token itself never leaves the process.
    """

    def __init__(self, *, handoff: str, share: float, poll: float, reminder: float, conn_id: str | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.handoff = handoff
        self.share = share
        self.poll = poll
        self.reminder = reminder
        self.conn_id = conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Say how another triggerer makes the same trigger."""
        names = ("handoff", "share", "poll", "reminder", "conn_id")
        return "airlock.operators.labeling.trigger.LabelsTrigger", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Count, pause, count again."""
        try:
            studio = await self._studio()
            watch = await asyncio.to_thread(Watch.open, studio, self.handoff)
            while (event := await self._look(watch)) is None:
                await pause(self.poll, watch.asked.project)
        except AirlockError as error:
            event = {"status": "failed", "message": str(error)}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _look(self, watch: "Watch") -> dict[str, Any] | None:
        try:
            progress = await asyncio.to_thread(watch.look)
        except InfrastructureError as error:
            self.log.warning("%s Waiting goes on.", error)
            return None
        if progress is None:
            if watch.quiet > self.reminder:
                watch.remind()
                self.log.warning("Nobody answered for %.0f s: %s. %s", self.reminder, watch.last, watch.asked.url)
            return None
        self.log.info("%s", progress)
        return verdict(progress, self.share, watch.asked)

    async def _studio(self) -> "Studio":
        from airlock.hooks.label_studio import LabelStudioHook
        from airlock.labeling.studio import Studio

        hook = LabelStudioHook(self.conn_id)
        if self.conn_id is None:
            return hook.get_conn()
        connection = await hook.aget_connection(self.conn_id)
        return Studio(hook.address_of(connection), connection.password or "")


class Watch:
    """What was seen of a hand-off so far.

    :param asked: the hand-off.
    :param samples: ids of what was handed off.
    """

    def __init__(self, studio: "Studio", asked: "HandOff", samples: frozenset[str]) -> None:
        self.studio = studio
        self.asked = asked
        self.samples = samples
        self.last: Progress | None = None
        self._marks: tuple[int, ...] = ()
        self._looks = 0
        self._changed = time.monotonic()

    @classmethod
    def open(cls, studio: "Studio", handoff: str) -> "Watch":
        """Read what was handed off."""
        from airlock.labeling.handoff import read_hand_off
        from airlock.labeling.tasks import decode_chosen
        from airlock.settings import settings
        from airlock.stores.artifacts import open_artifacts

        artifacts = open_artifacts(settings().artifacts)  # no connection is looked up: a triggerer's must be awaited
        asked = read_hand_off(artifacts.read(handoff))
        chosen = decode_chosen(artifacts.read(asked.samples.digest))
        return cls(studio, asked, frozenset(item.sample_id for item in chosen))

    def look(self) -> "Progress | None":
        """Count when the server's own counts changed, and now and then although they did not; ``None`` when not."""
        from airlock.labeling.progress import count

        marks = self.studio.project(self.asked.project).marks
        self._looks += 1
        if marks == self._marks and self._looks % RECOUNT:
            return None
        tasks = self.studio.snapshot(self.asked.project)
        found = count(tasks, self.samples, self.asked.overlap, self.studio.people(), self.asked.adjudicator)
        if found != self.last:
            self._changed = time.monotonic()
        self._marks, self.last = marks, found
        return found

    @property
    def quiet(self) -> float:
        """Seconds since something changed, or since the last reminder."""
        return time.monotonic() - self._changed

    def remind(self) -> None:
        """Count the time to the next reminder from now."""
        self._changed = time.monotonic()


def verdict(progress: "Progress", share: float, asked: "HandOff") -> dict[str, Any] | None:
    """Return the event that ends the wait; ``None`` while people can still answer."""
    told = {"message": f"{progress}.", "progress": msgspec.to_builtins(progress)}
    if progress.enough(share):
        return {"status": "complete", **told}
    possible = progress.asked - progress.deleted
    if progress.deleted and possible < share * progress.asked:
        lost = f"{progress.deleted} of {progress.asked} samples were deleted in Label Studio at {asked.url}."
        return {"status": "deleted", **told, "message": f"{lost} Clear hand_off to push them again."}
    return None


async def pause(seconds: float, project: int) -> None:
    """Wait, shorter when a webhook said that something happened in the project."""
    from airlock.labeling.hints import Hints
    from airlock.settings import settings

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await Hints(settings().database).next(project)
            return
