"""How open requests end without an answer: which, and why. Nothing here acts; the clock does."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from airlock.digests import short
from airlock.governance.book import Book
from airlock.governance.decisions import Verdict
from airlock.governance.policy import GatePolicy
from airlock.plugins.questions import Place
from airlock.stores.gates import GateRequest
from airlock.stores.queue import Item

Run = tuple[str, str]


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a request that is due."""

    request: GateRequest
    verdict: Verdict
    reason: str


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's end depends on, beside the ledger.

    :param now: seconds since the epoch.
    :param gone: task that will never act on an answer any more, to why.
    :param overtaken: run to the newer item that waits in the promotion queue it works for.
    """

    now: float
    gone: Mapping[Place, str] = {}
    overtaken: Mapping[Run, Item] = {}


def endings(book: Book, around: Surroundings) -> list[Ending]:
    """Return the requests that end now, each for the first reason that applies."""
    pending = book.pending()
    found = []
    for number, request in enumerate(pending):
        policy = book.policies.get(request.policy)
        if policy is not None:  # under a policy that nobody adopted nothing can be answered or approved
            found += _ending(request, policy, pending[number + 1 :], around)
    return found


def place_of(request: GateRequest) -> Place:
    """The task that asks."""
    return request.dag, request.run, request.task, request.map_index


def _ending(request: GateRequest, policy: GatePolicy, later: list[GateRequest], around: Surroundings) -> list[Ending]:
    for verdict, why in _RULES:
        if reason := why(request, policy, later, around):
            return [Ending(request=request, verdict=verdict, reason=reason)]
    return []


def _asked_anew(request: GateRequest, _policy: GatePolicy, later: list[GateRequest], _around: Surroundings) -> str:
    newer = _last(other for other in later if place_of(other) == place_of(request))
    return f"The task asks anew, in request {newer.id[:12]}." if newer else ""


def _expired(request: GateRequest, policy: GatePolicy, _later: list[GateRequest], around: Surroundings) -> str:
    if policy.window is None or around.now <= request.created + policy.window:
        return ""
    return f"Nobody decided within {policy.window:g} s."


def _overtaken(request: GateRequest, policy: GatePolicy, later: list[GateRequest], around: Surroundings) -> str:
    if not policy.supersede:
        return ""
    if newer := _last(other for other in later if _replaces(other, request)):
        return f"Manifest {short(newer.manifest)} is newer: {newer.dag} asks about it in {newer.run}."
    item = around.overtaken.get((request.dag, request.run))
    return f"Manifest {short(item.manifest)} is newer and waits in the promotion queue {item.queue}." if item else ""


def _gone(request: GateRequest, _policy: GatePolicy, _later: list[GateRequest], around: Surroundings) -> str:
    return around.gone.get(place_of(request), "")


def _replaces(newer: GateRequest, older: GateRequest) -> bool:
    """Whether a later request is about a newer manifest; what one run asks side by side replaces nothing."""
    same_gate = (newer.use_case, newer.gate) == (older.use_case, older.gate)
    return same_gate and newer.manifest != older.manifest and (newer.dag, newer.run) != (older.dag, older.run)


def _last(requests: Iterable[GateRequest]) -> GateRequest | None:
    return next(iter(reversed(list(requests))), None)


Rule = Callable[[GateRequest, GatePolicy, list[GateRequest], Surroundings], str]
# In this order: expiry is a fact of time that no newer manifest changes.
_RULES: list[tuple[Verdict, Rule]] = [
    ("superseded", _asked_anew),
    ("expired", _expired),
    ("superseded", _overtaken),
    ("withdrawn", _gone),
]
