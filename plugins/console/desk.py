"""What lies on a person's desk: gate requests as that person may see and answer them now."""

import time
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import msgspec
from fastapi import HTTPException

from airlock.errors import AirlockError
from airlock.governance.book import Book
from airlock.governance.decisions import Decision
from airlock.governance.evidence import evidence
from airlock.governance.policy import GatePolicy
from airlock.governance.tally import Tally, tally
from airlock.hooks.artifacts import ArtifactsHook
from airlock.plugins.answers import GateAnswers
from airlock.plugins.checks import still_counts
from airlock.plugins.console.readers import Reader
from airlock.plugins.identity import people
from airlock.plugins.provenance import barred, people_of
from airlock.stores.gates import GateRequest

Roles = Mapping[str, tuple[str, ...]]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A gate request, for the person who looks.

    :param deadline: seconds since the epoch, like ``created``; ``None`` when it waits for ever.
    :param state: ``open`` or how it ended.
    :param stage: the open stage, from 0.
    :param stages: how many there are.
    :param awaited: roles that may decide now.
    :param missing: approvals the open stage still needs.
    :param mine: whether the person may answer now; ``why_not`` says why not.
    :param approvals: those that count.
    :param overdue: whether the time has passed after which people are reminded or others asked.
    """

    id: str
    use_case: str
    gate: str
    dag: str
    run: str
    task: str
    map_index: int
    manifest: str
    created: float
    deadline: float | None
    state: str
    stage: int
    stages: int
    awaited: list[str]
    missing: int
    mine: bool
    why_not: str
    approvals: list[dict[str, Any]]
    overdue: bool
    options: list[str]
    checklist: dict[str, str]
    form: dict[str, Any]


class Desk:
    """The verified ledger and everybody's roles as of now, in front of one person."""

    def __init__(self, answers: GateAnswers, reader: Reader) -> None:
        self.reader = reader
        self.book: Book = answers.book()
        self.people: Roles = people()
        self.now = time.time()
        self.may_read = cache(reader.may_read)

    def requests(self, *, closed: bool = False) -> list[Asked]:
        """Return the open requests the person may see, or every one: theirs first, then the oldest first."""
        every = [request for request in list(self.book.requests.values()) if self.may_read(request.dag)]
        asked = [self.asked(each) for each in every if closed or self.book.closing(each.id) is None]
        return sorted(asked, key=lambda each: (not each.mine, each.created))

    def find(self, request_id: str) -> GateRequest:
        """Return a request by its id, or by the beginning of one that is like no other.

        :raises HTTPException: there is none, or the person may not see it.
        """
        found = [request for each, request in list(self.book.requests.items()) if each.startswith(request_id)]
        if len(found) != 1:
            raise HTTPException(404, f"There is no gate request {request_id[:12]}. See `airlock gate list`.")
        if not self.may_read(found[0].dag):
            raise HTTPException(403, f"{self.reader.name} may not see the questions of {found[0].dag}.")
        return found[0]

    def at(self, place: tuple[str, str, str, int]) -> GateRequest | None:
        """Return the newest request of a task that the person may see; ``None`` when there is none."""
        here = [
            request
            for request in list(self.book.requests.values())
            if (request.dag, request.run, request.task, request.map_index) == place and self.may_read(request.dag)
        ]
        return here[-1] if here else None

    def asked(self, request: GateRequest) -> Asked:
        """Return a request as the person sees it."""
        policy = self.policy(request)
        if policy is None:
            return _asked(request, self.state(request), why_not="Nobody adopted the policy it was asked under.")
        counted = self.counted(request, policy)
        state = self.state(request)
        why_not = f"The request is {state}." if state != "open" else self.why_not(counted)
        return _asked(
            request,
            state,
            why_not=why_not,
            deadline=request.created + policy.window if policy.window is not None else None,
            stage=counted.stage,
            stages=len(policy.stages),
            awaited=counted.awaited(self.now) if state == "open" else [],
            missing=counted.missing if state == "open" else 0,
            approvals=[answered(each) for each in counted.counted],
            overdue=state == "open" and late(policy, self.now - request.created),
            options=policy.options,
            checklist=policy.checklist,
            form=msgspec.to_builtins(policy.form),
        )

    def policy(self, request: GateRequest) -> GatePolicy | None:
        """Return the adopted policy of a request; ``None`` for one that a worker made up."""
        return self.book.policies.get(request.policy)

    def state(self, request: GateRequest) -> str:
        """Return ``open``, or how a request ended."""
        closed = self.book.closing(request.id)
        return closed[0].verdict if closed else "open"

    def counted(self, request: GateRequest, policy: GatePolicy) -> Tally:
        """Count the answers, for an open request without those of people who lost the role since."""
        found = self.book.tally(request.id)
        if self.state(request) != "open":
            return found
        kept = [each for each in found.counted if still_counts(found, each, self.people.get(each.user, ()))]
        return tally(request, policy, kept)

    def why_not(self, so_far: Tally) -> str:
        """Say why the person may not answer now; empty when they may."""
        name = self.reader.name
        try:
            kept_out = barred(self.book, so_far.request, so_far.policy)
            so_far.check(name, self.people.get(name, ()), kept_out, self.now)
        except AirlockError as error:
            return str(error)
        return "" if self.reader.may_answer(so_far.request.dag) else f"{name} may not answer tasks in Airflow."

    def detail(self, request: GateRequest) -> dict[str, Any]:
        """Return a request with all that a decision rests on."""
        policy, closed = self.policy(request), self.book.closing(request.id)
        more = {
            "champion": request.champion,
            "policy": msgspec.to_builtins(policy) if policy else None,
            "asks": policy.describe() if policy else "",
            "decisions": [answered(decision) for decision, _ in self.book.decisions.get(request.id, [])],
            "closing": _closing(closed) if closed else None,
        }
        shown: dict[str, Any] = msgspec.to_builtins(self.asked(request))
        return shown | more | self._grounds(request)

    def _grounds(self, request: GateRequest) -> dict[str, Any]:
        """What the manifest leads to; a request about a manifest that cannot be read says why."""
        try:
            shown = evidence(ArtifactsHook().get_conn(), request.manifest, request.champion)
            return {"evidence": shown, "people": people_of(self.book, request)}
        except AirlockError as error:
            return {"evidence": str(error), "people": {"submitter": [], "trainer": [], "labeler": []}}


def answered(decision: Decision) -> dict[str, Any]:
    """Return what people want to know of an answer."""
    names = ("user", "roles", "time", "comment", "stage", "option", "approved", "checked", "answers")
    return {name: getattr(decision, name) for name in names}


def late(policy: GatePolicy, age: float) -> bool:
    """Whether somebody should have answered by now."""
    times: Iterable[float | None] = (policy.reminder, policy.escalation.after if policy.escalation else None)
    return any(seconds is not None and age > seconds for seconds in (*times, policy.window))


def _closing(closed: Any) -> dict[str, Any]:
    closing, record = closed
    said = {name: getattr(closing, name) for name in ("verdict", "user", "reason")}
    return said | {"time": record.created, "record": record.hash}


def _asked(request: GateRequest, state: str, *, why_not: str, **more: Any) -> Asked:
    names = ("id", "use_case", "gate", "dag", "run", "task", "map_index", "manifest", "created")
    unknown = dict.fromkeys(("stage", "stages", "missing"), 0) | {"deadline": None, "overdue": False}
    empty: dict[str, Any] = {"awaited": [], "approvals": [], "options": [], "checklist": {}, "form": {}}
    said = {name: getattr(request, name) for name in names}
    return Asked(**(said | unknown | empty | more), state=state, mine=not why_not, why_not=why_not)
