"""What the guard does with an answer: check it against the gate's policy, sign it, write it ahead, record it."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import msgspec

from airlock.digests import canonical
from airlock.errors import IntegrityError
from airlock.governance.anchor import write_anchor
from airlock.governance.authority import Authority, authority
from airlock.governance.book import Book
from airlock.governance.decisions import Decision, Verdict, closing_body, decision_body, decision_from
from airlock.governance.evidence import asked_in
from airlock.governance.policy import APPROVE
from airlock.governance.signing import public_keys, verify_signature
from airlock.governance.tally import Tally, tally
from airlock.plugins.checks import read_answer, require_age, require_open, require_shown, still_counts
from airlock.plugins.identity import Person, people
from airlock.plugins.provenance import barred
from airlock.plugins.questions import Place, Question
from airlock.settings import settings
from airlock.stores.gates import GateRequest, GateRequests, finish_answer
from airlock.stores.ledger import Appender, Record


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that was checked.

    :param completing: whether it ends the request; only then Airflow hears of it.
    :param id: the write-ahead record of a completing one.
    """

    request: GateRequest
    decision: Decision
    completing: bool
    id: int = 0


class Sealed(msgspec.Struct, kw_only=True):
    """A decision as it is written ahead: signed, for whoever can write to the database must not decide.

    :param responder: the auth manager's id of the person, which Airflow keeps with an answer.
    """

    decision: dict[str, Any]
    responder: str
    key_id: str
    signature: str


class GateAnswers:
    """Answers to gate requests, on the API server's side."""

    def __init__(self) -> None:
        self._book = Book()
        self._reading = threading.Lock()

    @cached_property
    def authority(self) -> Authority:
        return authority()

    @cached_property
    def requests(self) -> GateRequests:
        return GateRequests(self.authority.database)

    def book(self) -> Book:
        """The verified ledger as it is now; what this process verified before is not verified again."""
        with self._reading:
            self._book.read_on(self.authority.ledger, settings().public_keys)
            return self._book

    @contextmanager
    def alone(self, request_id: str) -> Iterator[None]:
        """Let nobody else, in whichever API server, answer or close this request meanwhile."""
        with self.authority.database.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 3))", (request_id,))
            yield

    def check(self, at: Place, shown: Question, person: Person, body: bytes) -> Answer:
        """Check an answer to the question that stands at a task; write a completing one ahead.

        :raises NotApproved: the person may not decide here, or the question is not what the ledger says was asked.
        :raises UserError: the answer is not complete or comes too early.
        """
        book = self.book()
        request = book.request(asked_in(shown.body))
        policy = book.policy(request)
        require_open(book, request)
        book.require_policy(request.use_case, request.gate, policy)
        require_shown(book, request, policy, at, shown)
        having = people()
        so_far = self.recount(book, request, having)
        decision = self._decision(so_far, person, having.get(person.name, ()), body)
        require_age(request, policy, shown)  # last: who may not answer is told so, not to come again
        ended = tally(request, policy, [*so_far.counted, decision])
        if not decision.approved or ended.approved:
            number = self.requests.prepare(request.id, msgspec.to_builtins(self._sealed(decision, person)))
            return Answer(request=request, decision=decision, completing=True, id=number)
        return Answer(request=request, decision=decision, completing=False)

    def recount(self, book: Book, request: GateRequest, having: dict[str, tuple[str, ...]]) -> Tally:
        """Count again: an approval of somebody who lost the role since is declared void.

        :param having: name to roles of everybody, as of now.
        """
        found = book.tally(request.id)
        lost = [each.user for each in found.counted if not still_counts(found, each, having.get(each.user, ()))]
        if not lost:
            return found
        with self.authority.ledger.appending() as appender:
            for decision, record in book.decisions[request.id]:
                if decision.user in lost:
                    reason = f"{decision.user} lost the role since"
                    body = {"use_case": request.use_case, "record": record.hash, "reason": reason}
                    appender.append("void", body, self.authority.signer)
        return self.book().tally(request.id)

    def record(self, answer: Answer) -> None:
        """Append a decision, and what it brings to an end, in one transaction."""
        with self.authority.ledger.appending() as appender:
            last = appender.append("decision", decision_body(answer.decision), self.authority.signer)
            if answer.completing:
                verdict: Verdict = "approved" if answer.decision.approved else "rejected"
                last = self._close(appender, answer.request, verdict, answer.decision.user, answer.decision.option)
                finish_answer(appender.cursor, answer.id, "recorded")
        write_anchor(settings().public_keys, last, self.authority.signer)

    def void(self, number: int) -> None:
        """Say that Airflow did not take what was written ahead."""
        with self.authority.database.transaction() as cursor:
            finish_answer(cursor, number, "void")

    def close(self, request: GateRequest, verdict: Verdict, user: str = "", reason: str = "") -> bool:
        """End a request without an answer; return whether this call did it.

        One that Airflow may have taken an answer to, which a crash left unsettled, is not ended over it.
        """
        with self.alone(request.id):
            answered = any(other.id == request.id for _, other, _ in self.requests.unfinished())
            if answered or self.requests.state(request.id) != "open":
                return False
            with self.authority.ledger.appending() as appender:
                record = self._close(appender, request, verdict, user, reason)
        write_anchor(settings().public_keys, record, self.authority.signer)
        return True

    def read(self, number: int, request: GateRequest, body: dict[str, Any]) -> tuple[Answer, str]:
        """Read an answer that was written ahead, and who gave it.

        :raises IntegrityError: the API server did not write it, or not for this request.
        """
        try:
            sealed = msgspec.convert(body, Sealed)
        except msgspec.ValidationError as error:
            raise IntegrityError(f"Answer {number} was not written by the API server: {error}.") from error
        covered = canonical([sealed.responder, sealed.decision])
        verify_signature(public_keys(settings().public_keys), sealed.key_id, sealed.signature, covered)
        decision = decision_from(sealed.decision)
        if decision.request != request.id:
            raise IntegrityError(f"Answer {number} was written for request {decision.request}.")
        return Answer(request=request, decision=decision, completing=True, id=number), sealed.responder

    def _close(
        self, appender: Appender, request: GateRequest, verdict: Verdict, user: str = "", reason: str = ""
    ) -> Record:
        return appender.append("closed", closing_body(request, verdict, user, reason), self.authority.signer)

    def _sealed(self, decision: Decision, person: Person) -> Sealed:
        body, signer = decision_body(decision), self.authority.signer
        covered = canonical([person.id, body])
        return Sealed(decision=body, responder=person.id, key_id=signer.key_id, signature=signer.sign(covered))

    def _decision(self, so_far: Tally, person: Person, roles: Sequence[str], body: bytes) -> Decision:
        request, now = so_far.request, time.time()
        kept_out = barred(self.book(), request, so_far.policy)
        stage = so_far.check(person.name, roles, kept_out, now)
        option, comment, checked, answers = read_answer(body, so_far.policy)
        return Decision(
            request=request.id,
            use_case=request.use_case,
            gate=request.gate,
            manifest=request.manifest,
            evidence=request.evidence,
            policy=request.policy,
            user=person.name,
            roles=sorted(roles),
            option=option,
            approved=option == APPROVE,
            comment=comment,
            time=now,
            stage=stage,
            checked=checked,
            answers=answers,
            barred=kept_out,
        )
