"""Reminders: who is awaited at a gate hears of it, once when time has passed and once when others may decide too."""

import logging
import time
from collections.abc import Iterator
from urllib.parse import quote

import msgspec

from airlock.digests import short
from airlock.errors import InfrastructureError
from airlock.governance.book import Book
from airlock.settings import settings
from airlock.stores.gates import GateRequest
from airlock.stores.reminders import Kind, Reminders

log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds for one delivery, and for all of one tick


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever is awaited is told; the body of the webhook's request.

    :param request: id of the gate request.
    :param awaited: roles that may decide now.
    :param url: where to answer.
    """

    kind: Kind
    request: str
    use_case: str
    gate: str
    manifest: str
    awaited: list[str]
    url: str


def due(book: Book, delivered: set[tuple[str, str]], now: float) -> Iterator[Notice]:
    """Give what must be delivered now."""
    for request in book.pending():
        policy = book.policies.get(request.policy)
        if policy is None:
            continue
        after: dict[Kind, float | None] = {
            "reminder": policy.reminder,
            "escalation": policy.escalation.after if policy.escalation else None,
        }
        for kind, seconds in after.items():
            late = seconds is not None and now - request.created >= seconds
            if late and (request.id, kind) not in delivered:
                yield _notice(kind, request, book.tally(request.id).awaited(now))


def deliver(notices: Iterator[Notice], reminders: Reminders) -> None:
    """Deliver: a line in the log, and a request to the webhook when one is set (``AIRLOCK_NOTIFY``).

    What cannot be delivered is tried again at the next tick; a webhook that is slow or away takes two seconds of one.
    """
    started = time.monotonic()
    for notice in notices:
        if time.monotonic() - started > PATIENCE:
            return
        try:
            _post(settings().notify, notice)
        except InfrastructureError as error:
            log.warning("%s", error)
            return
        log.info(
            "%s: the %s gate of %s waits for %s about manifest %s: %s",
            notice.kind.capitalize(),
            notice.gate,
            notice.use_case,
            " or ".join(notice.awaited),
            short(notice.manifest),
            notice.url,
        )
        reminders.add(notice.request, notice.kind)


def _post(url: str, notice: Notice) -> None:
    import httpx

    if not url:
        return
    try:
        reply = httpx.post(url, json=msgspec.to_builtins(notice), timeout=PATIENCE)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _undelivered(notice, str(error) or type(error).__name__) from error
    if reply.is_error:
        raise _undelivered(notice, f"it answers {reply.status_code}")


def _undelivered(notice: Notice, why: str) -> InfrastructureError:
    return InfrastructureError(
        f"The webhook did not take the {notice.kind} about request {notice.request[:12]}: {why}.",
        hint="It is tried again; check AIRLOCK_NOTIFY.",
    )


def _notice(kind: Kind, request: GateRequest, awaited: list[str]) -> Notice:
    task = f"dags/{quote(request.dag)}/runs/{quote(request.run)}/tasks/{quote(request.task)}"
    mapped = f"/mapped/{request.map_index}" if request.map_index >= 0 else ""
    return Notice(
        kind=kind,
        request=request.id,
        use_case=request.use_case,
        gate=request.gate,
        manifest=request.manifest,
        awaited=awaited,
        url=f"{settings().airflow.rstrip('/')}/{task}{mapped}/required_actions",
    )
