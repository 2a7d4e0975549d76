"""The ledger read as a book: what was asked, under which policy, who answered, how it ended.

Everything in it comes from verified records. Requests, policies and decisions are looked up by digest, never by a
name that somebody could point elsewhere.
"""

from collections import defaultdict

import msgspec

from airlock.digests import short
from airlock.errors import IntegrityError, NotApproved
from airlock.governance.anchor import read_anchor
from airlock.governance.decisions import Closing, Decision, decision_from
from airlock.governance.ledger import verified
from airlock.governance.policy import GatePolicy
from airlock.governance.signing import public_keys, retired_keys
from airlock.governance.tally import Tally, tally
from airlock.stores.gates import GateRequest, valid_request
from airlock.stores.ledger import Ledger, Record

Gate = tuple[str, str]


class Book:
    """Verified records, folded in their order.

    In the API server one thread reads on while others look things up: what they iterate over is a copy.
    """

    def __init__(self) -> None:
        self.requests: dict[str, GateRequest] = {}
        self.policies: dict[str, GatePolicy] = {}
        self.decisions: dict[str, list[tuple[Decision, Record]]] = defaultdict(list)
        self.closings: dict[str, tuple[Closing, Record]] = {}
        self.deployments: list[Record] = []
        self.last: tuple[int, str] = (0, "")
        self._in_force: dict[Gate, list[tuple[int, str]]] = defaultdict(list)
        self._void: set[str] = set()
        self._filed: dict[str, int] = {}

    @classmethod
    def open(cls, ledger: Ledger, folder: str) -> "Book":
        """Verify a whole ledger and read it; see :meth:`read_on`."""
        book = cls()
        book.read_on(ledger, folder)
        return book

    def read_on(self, ledger: Ledger, folder: str) -> None:
        """Verify and read what was appended since.

        :param folder: with the public keys and the anchor.
        :raises NotApproved: chain, a signature or the anchor does not hold.
        """
        seq, _ = self.last
        try:
            keys = public_keys(folder)
            anchor = read_anchor(folder, keys)
            unread = anchor if anchor is not None and anchor.seq > seq else None
            for record in verified(ledger.read(seq), keys, unread, self.last, retired_keys(folder)):
                self.add(record)
        except IntegrityError as error:
            raise NotApproved(f"The ledger does not verify. {error.message}", hint=error.hint) from error

    def add(self, record: Record) -> None:
        """Take in the next record, which is verified.

        :raises IntegrityError: it is not what its kind says.
        """
        body = record.body
        try:
            match record.kind:
                case "policy":
                    self._adopt(record)
                case "request":
                    if request := valid_request(record):
                        self.requests.setdefault(request.id, request)
                        self._filed.setdefault(request.id, record.seq)
                case "decision":
                    self.decisions[str(body["request"])].append((decision_from(body), record))
                case "closed":
                    closing = msgspec.convert(body, Closing)
                    self.closings.setdefault(closing.request, (closing, record))
                case "void":
                    self._void.add(str(body["record"]))
                case "deployment" | "rollback":
                    self.deployments.append(record)
        except (KeyError, msgspec.ValidationError) as error:
            raise IntegrityError(f"Ledger record {record.seq} is no {record.kind}: {error}.") from error
        self.last = record.seq, record.hash

    @property
    def gates(self) -> list[Gate]:
        """Use case and name of every gate that has a policy."""
        return sorted(gate for gate, adopted in list(self._in_force.items()) if adopted)

    def policy_in_force(self, use_case: str, gate: str, seq: float = float("inf")) -> str:
        """Return the digest of a gate's policy when a record was written; empty when none was adopted."""
        before = [digest for at, digest in self._in_force[use_case, gate] if at < seq]
        return before[-1] if before else ""

    def require_policy(self, use_case: str, gate: str, policy: GatePolicy) -> None:
        """Make sure that a policy is the gate's.

        :raises NotApproved: another one is in force, or none.
        """
        if self.policy_in_force(use_case, gate) != policy.digest:
            state = "differs from the one in force" if self._in_force[use_case, gate] else "was never adopted"
            raise NotApproved(
                f"The policy of the {gate} gate of {use_case} {state}: DAG authors cannot change it alone.",
                hint="Whoever runs the host adopts it: `airlock policy adopt …/gates.json`.",
            )

    def request(self, request_id: str) -> GateRequest:
        """Return a request.

        :raises NotApproved: there is none with this id.
        """
        if request_id not in self.requests:
            raise NotApproved(f"There is no gate request {request_id[:12]} in the ledger.", hint="Clear the gate task.")
        return self.requests[request_id]

    def policy(self, request: GateRequest) -> GatePolicy:
        """Return the policy a request was made under.

        :raises NotApproved: nobody adopted it.
        """
        if request.policy not in self.policies:
            raise NotApproved(
                f"The policy of the {request.gate} gate of {request.use_case} was never adopted.",
                hint="Whoever runs the host adopts it: `airlock policy adopt …/gates.json`.",
            )
        return self.policies[request.policy]

    def last_served(self, use_case: str, request_id: str = "") -> str:
        """Return the release manifest that served a use case last; empty when nothing ever did.

        :param request_id: look no further than where this request was filed.
        """
        end = self._filed.get(request_id, float("inf"))
        found = [record for record in self.deployments if record.use_case == use_case and record.seq < end]
        return str(found[-1].body.get("manifest", "")) if found else ""

    def tally(self, request_id: str) -> Tally:
        """Count what was answered to a request."""
        request = self.request(request_id)
        closed = self.closings.get(request_id)
        end = closed[1].seq if closed else float("inf")
        valid = [
            decision
            for decision, record in self.decisions[request_id]
            if record.hash not in self._void and record.seq < end
        ]
        return tally(request, self.policy(request), valid)

    def closing(self, request_id: str) -> tuple[Closing, Record] | None:
        """Return how a request ended, and the record; ``None`` while it is open."""
        return self.closings.get(request_id)

    def pending(self) -> list[GateRequest]:
        """Return the open requests, oldest first."""
        asked = list(self.requests.items())  # another thread of the API server may be reading on
        return [request for request_id, request in asked if request_id not in self.closings]

    def approval(self, use_case: str, gate: str, manifest: str) -> Record:
        """Return the record that closed the newest decided request about exactly this manifest, if it approves.

        :raises NotApproved: says which check failed.
        """
        what = f"manifest {short(manifest)} at the {gate} gate of {use_case}"
        about = [
            (closing, record)
            for closing, record in list(self.closings.values())
            if (closing.use_case, closing.gate, closing.manifest) == (use_case, gate, manifest)
            and closing.verdict in ("approved", "rejected")
        ]
        if not about:
            raise NotApproved(f"There is no decision about {what}.", hint="Answer it under Gates in Airflow.")
        closing, record = max(about, key=lambda item: item[1].seq)
        if closing.verdict == "rejected":
            raise NotApproved(f"{closing.user} rejected {what}: {closing.reason}.", hint="Do the rework, ask again.")
        self._check_approval(closing, record, what)
        return record

    def _check_approval(self, closing: Closing, record: Record, what: str) -> None:
        request = self.request(closing.request)
        asked = (request.use_case, request.gate, request.manifest)
        if asked != (closing.use_case, closing.gate, closing.manifest):
            raise NotApproved(f"What closed {what} was a request about something else.", hint="Ask again.")
        if record.hash in self._void:
            raise NotApproved(f"The approval of {what} was declared void.", hint="Ask again.")
        if self.policy_in_force(request.use_case, request.gate, record.seq) != request.policy:
            raise NotApproved(f"What was decided about {what} was decided under another policy.", hint="Ask again.")
        counted = self.tally(closing.request)
        if not counted.approved:
            raise NotApproved(
                f"Only {len(counted.counted)} answers about {what} count, {counted.missing} are missing.",
                hint="Ask again.",
            )

    def _adopt(self, record: Record) -> None:
        policy = msgspec.convert(record.body["policy"], GatePolicy)
        self.policies[policy.digest] = policy
        self._in_force[record.use_case, str(record.body["gate"])].append((record.seq, policy.digest))
