"""The clock: what happens at gates because time passes. A thread of the API server, which alone may sign.

Every two seconds it settles answers that a crash left behind, ends requests that expired, were overtaken by a newer
manifest or whose task is gone, lets parked gates go on whose request is closed, and reminds those who are awaited.
Of several API servers one acts at a time. When nothing is open a tick is one query.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from psycopg2 import Error as PostgresError
from sqlalchemy.exc import SQLAlchemyError

from airlock.errors import AirlockError
from airlock.governance.book import Book
from airlock.governance.people import write_people
from airlock.plugins.answers import GateAnswers
from airlock.plugins.endings import Ending, Surroundings, endings, place_of
from airlock.plugins.identity import known_roles
from airlock.plugins.notices import deliver, due
from airlock.plugins.parking import Absences, Parked, parked
from airlock.plugins.questions import resume
from airlock.plugins.reconcile import settle
from airlock.settings import settings
from airlock.stores.database import one
from airlock.stores.queue import PromotionQueue
from airlock.stores.reminders import Reminders

log = logging.getLogger(__name__)

EVERY = 2.0
LOCK = 0x61697233
IN_FLIGHT = 5.0  # seconds in which an answer written ahead is the business of whoever wrote it
PEOPLE_EVERY = 30.0
LINGERING = 60.0  # seconds after the newest record in which a gate may still be on its way to being parked
LOOK = """
SELECT pg_try_advisory_xact_lock(%s) AS alone,
       EXISTS (SELECT FROM airlock.gate_answer WHERE state = 'prepared' AND created < %s) AS unsettled,
       (SELECT coalesce(max(seq), 0) FROM airlock.ledger) AS last
"""
Trouble = (AirlockError, SQLAlchemyError, PostgresError, OSError)


class Clock:
    """Ticks until it is stopped.

    :param answers: the guard's way to close requests.
    :param every: seconds between two ticks.
    """

    def __init__(self, answers: GateAnswers, every: float = EVERY) -> None:
        self.answers = answers
        self.every = every
        self.absences = Absences()
        self._quiet_at = -1  # position of the ledger at which nothing was open
        self._newest: tuple[int, float] = (-1, 0.0)  # position of the ledger, and since when it is that
        self._people_due = 0.0
        self._said: dict[str, str] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to tick, unless it does."""
        if self._thread is None or not self._thread.is_alive():
            self._stopped.clear()
            self._thread = threading.Thread(target=self._run, name="airlock-clock", daemon=True)
            self._thread.start()

    def keep_going(self) -> None:
        """Begin again if a tick ended in an error nobody expected."""
        if self._thread is not None and not self._stopped.is_set() and not self._thread.is_alive():
            self.start()

    def stop(self) -> None:
        """Stop ticking; what is being done is finished."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=self.every + 5)

    def tick(self) -> None:
        """Look once, and do what is due."""
        with self._trouble("people"):
            self._keep_people()
        with self._trouble("database"), self.answers.authority.database.transaction() as cursor:
            cursor.execute(LOOK, (LOCK, time.time() - IN_FLIGHT))
            look = one(cursor)
            if look["alone"] and (look["unsettled"] or look["last"] != self._quiet_at):
                self._work(look)

    def _run(self) -> None:
        while not self._stopped.wait(self.every):
            self.tick()

    def _work(self, look: dict[str, Any]) -> None:
        if look["unsettled"]:
            settle(self.answers)
        book = self.answers.book()
        waiting = parked()
        if not book.pending() and not waiting:
            self._quiet_at = look["last"] if self._unchanged(look["last"]) > LINGERING else -1
            return
        self._quiet_at = -1
        ended = endings(book, self._surroundings(book))
        self._each("close", ended, self._close)
        book = self.answers.book() if ended else book
        self._each("resume", waiting, lambda gate: self._resume(gate, book))
        with self._trouble("remind"):
            reminders = Reminders(self.answers.authority.database)
            open_now = [request.id for request in book.pending()]
            deliver(due(book, reminders.delivered(open_now), time.time()), reminders)

    def _unchanged(self, last: int) -> float:
        """For how many seconds the ledger has ended here."""
        now = time.monotonic()
        if self._newest[0] != last:
            self._newest = last, now
        return now - self._newest[1]

    def _surroundings(self, book: Book) -> Surroundings:
        gone = self.absences.gone([place_of(request) for request in book.pending()])
        overtaken = PromotionQueue(self.answers.authority.database).overtaken()
        return Surroundings(now=time.time(), gone=gone, overtaken=overtaken)

    def _close(self, ending: Ending) -> None:
        if self.answers.close(ending.request, ending.verdict, reason=ending.reason):
            log.info(
                "Request %s of the %s gate of %s is %s. %s",
                ending.request.id[:12],
                ending.request.gate,
                ending.request.use_case,
                ending.verdict,
                ending.reason,
            )

    def _resume(self, gate: Parked, book: Book) -> None:
        """Let a gate go on whose request is closed, not so soon that Airflow still records its parking."""
        if book.closing(gate.request) is None:
            return
        policy = book.policy(book.request(gate.request))
        if time.time() - gate.since >= policy.minimum_age and resume(gate.place):
            log.info("Let %s of %s in %s go on: its request is closed.", gate.place[2], gate.place[0], gate.place[1])

    def _keep_people(self) -> None:
        """Write down who can sign in with which roles, for whoever parses DAGs."""
        if time.monotonic() < self._people_due:
            return
        self._people_due = time.monotonic() + PEOPLE_EVERY
        write_people(settings().people, known_roles())

    def _each(self, what: str, items: list[Any], act: Callable[[Any], None]) -> None:
        """Do something for each; what fails for one is none of the others' business."""
        for item in items:
            with self._trouble(f"{what} {item.request if isinstance(item, Parked) else item.request.id}"):
                act(item)

    @contextmanager
    def _trouble(self, what: str) -> Iterator[None]:
        """Log what goes wrong, once until it says something else or works again."""
        try:
            yield
        except Trouble as error:
            said = str(error)
            if self._said.get(what) != said:
                log.warning("The clock of the gates cannot %s and tries again: %s", what, said)
            self._said[what] = said
        else:
            self._said.pop(what, None)
