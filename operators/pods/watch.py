"""Watches the pods of one execution from their creation to their end."""

import queue
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from airlock import progress
from airlock.errors import InfrastructureError, ResourceError
from airlock.operators.execution import Ending, Execution
from airlock.operators.pods import diagnosis
from airlock.operators.pods.cluster import Cluster, NoRoom
from airlock.operators.pods.labels import SET
from airlock.operators.pods.logs import Follower, Line, Lines
from airlock.operators.state import PROGRESS, SEEN, TaskState

POLL = 1.0
PATIENCE = 120.0
"""Seconds without an answer of the cluster before another try of the task has to wait on."""
IMAGE = 30.0
"""Seconds a registry may fail in a way that another attempt could mend."""
SETTLE = 3.0
"""Seconds between the end of one worker and the news that another one was the cause."""
OTHERS = 60.0
LAST_LINES = 10.0
WARNING = 10.0
MORE_ROOM = "Wait for room, ask for less, or raise `schedule_timeout` of the compute profile."
ORDER = ("end", "place", "start", "run")
"""Of several pods, the state of the one that is furthest from running is shown."""


class Watch:
    """What is known of the pods of one execution.

    :param show: called with what the log says: the pod, and the line.
    :param go_on: raises when nobody waits any more.
    """

    def __init__(
        self,
        cluster: Cluster,
        execution: Execution,
        state: TaskState,
        show: Callable[[str, str], None],
        go_on: Callable[[], None],
    ) -> None:
        self.cluster = cluster
        self.execution = execution
        self.profile = execution.profile
        self.state = state
        self.show = show
        self.go_on = go_on
        self.lines: Lines = queue.SimpleQueue()
        self.followers: dict[str, Follower] = {}
        self.known: set[str] = set()
        self._warned = (-WARNING, "no word yet")
        self._since: dict[str, float] = {}

    def create(self, document: dict[str, Any]) -> None:
        """Create the pods, as soon as cluster and quota allow it.

        :raises UserError: the cluster refuses them.
        :raises ResourceError: there was no room for them in time.
        """
        while True:
            self.go_on()
            try:
                return self.cluster.create(document)
            except NoRoom as error:
                self._say(str(error))
                if self._for("quota") > self.profile.schedule_timeout:
                    raise ResourceError(
                        f"There was no room within {self.profile.schedule_timeout:g} s ({error}).", hint=MORE_ROOM
                    ) from error
            except InfrastructureError as error:
                self._lost(error)
            time.sleep(POLL)

    def to_end(self) -> Ending:
        """Show states and lines until the pods have ended, or will never run."""
        while True:
            self.go_on()
            ending = self._look()
            if ending is not None:
                break
            self._lines(POLL)
        deadline = time.monotonic() + LAST_LINES
        for follower in self.followers.values():
            follower.finish(max(0.0, deadline - time.monotonic()))
        self._lines(0)
        return ending

    def _look(self) -> Ending | None:
        try:
            pods = self.cluster.pods({SET: self.execution.pod})
        except InfrastructureError as error:
            self._lost(error)
            return None
        self._since.pop("cluster", None)
        return self._judge(pods)

    def _lost(self, error: InfrastructureError) -> None:
        """Bear with a cluster that does not answer, for a while."""
        self._say(f"waiting for the cluster: {error}")
        if self._for("cluster") > PATIENCE:
            raise error
        self.cluster.forget()

    def _judge(self, pods: list[dict[str, Any]]) -> Ending | None:
        names = {pod["metadata"]["name"] for pod in pods}
        endings = [diagnosis.ended(pod) for pod in pods]
        self._follow(pods)
        if self.known - names:
            endings.append(diagnosis.DELETED)
        self.known |= names
        if bad := [ending for ending in endings if ending and ending.kind != "ended"]:
            if self.profile.workers == 1 or self._for("fall") > SETTLE:
                return min(bad, key=lambda ending: diagnosis.SEVERITY.index(ending.kind))
            return None
        good = [ending for ending in endings if ending]
        if len(good) == self.profile.workers or (good and self._for("rest") > OTHERS):
            return good[0]
        if not pods and self.profile.workers == 1:
            return diagnosis.DELETED
        return self._await([pod for pod, ending in zip(pods, endings, strict=False) if ending is None])

    def _await(self, pods: list[dict[str, Any]]) -> Ending | None:
        """Show what the pods wait for, and for how long they may."""
        missing = self.profile.workers - len(self.known)
        waits = [diagnosis.waiting(pod) for pod in pods]
        stages = {wait.stage for wait in waits} | ({"place"} if missing else set())
        first = min(waits, key=lambda wait: ORDER.index(wait.stage)).text if waits else ""
        if not first:
            first = f"waiting for a place: {self._warning(self.execution.pod)}"
        elif "start" in stages and self._for("start") > WARNING:
            first = f"{first}; {self._warning(str(pods[0]['metadata']['name']))}"
        self._say(self._of_several(waits, first))
        for stage in ("place", "start", "image", "end"):
            if stage not in stages and not (stage == "image" and any(wait.image for wait in waits)):
                self._since.pop(stage, None)
        for pod in pods:
            if never := diagnosis.cannot_start(pod):
                return never
        return self._too_long(pods, stages, first)

    def _too_long(self, pods: list[dict[str, Any]], stages: set[str], text: str) -> Ending | None:
        if "end" in stages and self._for("end") > self.profile.grace + PATIENCE:
            return Ending(kind="interrupted", reason="was lost with its node: its pod does not end")
        if "place" in stages and self._for("place") > self.profile.schedule_timeout:
            return Ending(
                kind="resource",
                reason=f"found no place within {self.profile.schedule_timeout:g} s ({text})",
                hint=MORE_ROOM,
            )
        pulling = [pod for pod in pods if diagnosis.waiting(pod).image]
        if pulling and self._for("image") > min(IMAGE, self.profile.startup_timeout):
            return diagnosis.no_image(pulling[0], self._registry_said(str(pulling[0]["metadata"]["name"])))
        if "start" in stages and "place" not in stages and self._for("start") > self.profile.startup_timeout:
            return Ending(
                kind="resource",
                reason=f"did not start within {self.profile.startup_timeout:g} s ({text}; "
                f"{self._warning(str(pods[0]['metadata']['name']))})",
                hint="See what it waits for, or raise `startup_timeout` of the compute profile.",
            )
        return None

    def _of_several(self, waits: list[diagnosis.Waiting], text: str) -> str:
        if self.profile.workers == 1:
            return text
        running = sum(wait.stage == "run" for wait in waits)
        return f"{running} of {self.profile.workers} workers run; {text}"

    def _follow(self, pods: list[dict[str, Any]]) -> None:
        for pod in pods:
            name = str(pod["metadata"]["name"])
            begun = diagnosis.ended(pod) is not None or diagnosis.waiting(pod).stage in ("run", "end")
            if begun and name not in self.followers:
                self.followers[name] = Follower(self.cluster, name, self.lines, self._seen().get(name, 0))
                self.followers[name].start()

    def _lines(self, seconds: float) -> None:
        """Show the lines that come within some seconds, and keep how far that is.

        At once, not as they come: a worker that is killed in between shows them twice.
        """
        lines, end = list[Line](), time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 or not seconds:
            try:
                lines.append(self.lines.get(timeout=max(0.0, left)))
            except queue.Empty:
                break
        said = None
        for line in lines:
            said = progress.parse(line.text) or said
            self.show(line.pod, line.text)
        if lines:
            self.state.set(SEEN, self._seen() | {line.pod: line.moment for line in lines})
        if said:
            self.state.set(PROGRESS, msgspec.to_builtins(said))

    def _seen(self) -> dict[str, int]:
        """Of each pod the moment of the last line that people have seen."""
        kept = self.state.get(SEEN) or {}
        return {name: moment for name, moment in kept.items() if name.startswith(self.execution.pod)}

    def _say(self, text: str) -> None:
        if self.state.say(text):
            self.show("", text)

    def _warning(self, name: str) -> str:
        """What the cluster complains about; asked for now and then."""
        moment, text = self._warned
        if time.monotonic() - moment > WARNING:
            with suppress(InfrastructureError):
                text = self.cluster.warning(name) or text
            self._warned = (time.monotonic(), text)
        return text

    def _registry_said(self, name: str) -> str:
        with suppress(InfrastructureError):
            return self.cluster.warning(name, diagnosis.PULLED_IN_VAIN)
        return ""

    def _for(self, what: str) -> float:
        """Seconds since this began."""
        return time.monotonic() - self._since.setdefault(what, time.monotonic())
