"""What the verified ledger says about the past: what served when, who approved it, on which data.

Deployments and rollbacks are written by workers and not signed: that something served, and since when, is *reported*.
Who decided about which manifest is *proved* by signatures, and what a manifest was made from by digests.
"""

from collections.abc import Iterator

import msgspec

from airlock.digests import PREFIX, short
from airlock.errors import IntegrityError, NotApproved, UserError
from airlock.governance.book import Book
from airlock.governance.decisions import Closing, Decision
from airlock.governance.manifest import AnyManifest, chain
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.gates import GateRequest
from airlock.stores.ledger import Ledger, Record


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A gate request and what became of it.

    :param decisions: those that the closing rests on, or all of them while it is open.
    """

    request: GateRequest
    decisions: list[Decision]
    closing: Closing | None = None
    closed: Record | None = None


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What a target served at a time.

    :param record: the deployment or rollback, as a worker reported it.
    :param approval: the signed approval that it names; ``None`` when it names none of this manifest.
    :param doubt: why the approval does not hold; empty when it does.
    :param chain: the manifest and its ancestors by digest; empty when they cannot be read.
    """

    record: Record
    approval: Asked | None
    doubt: str
    chain: dict[str, AnyManifest]

    @property
    def manifest(self) -> str:
        """Digest of what served."""
        return str(self.record.body.get("manifest", ""))


class History(Book):
    """A book that also keeps who promoted what, and reads manifests."""

    def __init__(self) -> None:
        super().__init__()
        self.acts: list[Record] = []

    @classmethod
    def open(cls, ledger: Ledger, folder: str) -> "History":
        """Verify a whole ledger and read it."""
        history = cls()
        history.read_on(ledger, folder)
        return history

    def add(self, record: Record) -> None:
        """Take in the next record, which is verified."""
        super().add(record)
        if record.kind in ("promotion", "deployment", "rollout", "rollback", "kept"):
            self.acts.append(record)

    def served(self, store: ArtifactStore, at: float, use_case: str = "") -> list[Served]:
        """Return what served at a time: of every use case and target what was recorded last until then."""
        newest: dict[tuple[str, str], Record] = {}
        for record in self.deployments:
            if record.created <= at and use_case in ("", record.use_case):
                newest[record.use_case, str(record.body.get("target", ""))] = record
        return [self._served(store, newest[place]) for place in sorted(newest)]

    def asked(self, request_id: str) -> Asked:
        """Return a request and what became of it."""
        request, closed = self.request(request_id), self.closings.get(request_id)
        said = [decision for decision, _ in self.decisions.get(request_id, [])]
        if closed is None:
            return Asked(request=request, decisions=said)
        counted = self.tally(request_id)
        relied = [*counted.counted, *([counted.rejected] if counted.rejected else [])]
        return Asked(request=request, decisions=relied, closing=closed[0], closed=closed[1])

    def about(self, manifest: str) -> Iterator[Asked | Record]:
        """Give everything that was asked, promoted or deployed about a manifest, in its order."""
        found: list[tuple[float, Asked | Record]] = [
            (request.created, self.asked(request.id))
            for request in self.requests.values()
            if request.manifest == manifest and request.policy in self.policies
        ]
        about = ((record.body.get("manifest"), record.body.get("from")) for record in self.acts)
        found += [(act.created, act) for act, named in zip(self.acts, about, strict=True) if manifest in named]
        return (each for _, each in sorted(found, key=lambda item: item[0]))

    def manifest(self, prefix: str) -> str:
        """Return the digest of the manifest that begins so.

        :raises UserError: none does, or more than one.
        """
        wanted = PREFIX + prefix.removeprefix(PREFIX)
        known = {request.manifest for request in self.requests.values()}
        known |= {str(record.body.get("manifest", "")) for record in self.acts}
        fitting = [digest for digest in known if digest.startswith(wanted)]
        if len(fitting) != 1:
            many = f"{len(fitting)} manifests in the ledger begin" if fitting else "No manifest in the ledger begins"
            raise UserError(f"{many} with {prefix!r}.", hint="`airlock ledger show` names them.")
        return fitting[0]

    def _served(self, store: ArtifactStore, record: Record) -> Served:
        manifest = str(record.body.get("manifest", ""))
        approval, doubt = self._approval(record, manifest)
        try:
            ancestors = chain(store, manifest)
        except IntegrityError as error:
            ancestors, doubt = {}, doubt or str(error)
        return Served(record=record, approval=approval, doubt=doubt, chain=ancestors)

    def _approval(self, record: Record, manifest: str) -> tuple[Asked | None, str]:
        named = str(record.body.get("decision", ""))
        for closing, closed in self.closings.values():
            if closed.hash == named and closing.manifest == manifest and closed.seq < record.seq:
                try:
                    self._check_approval(closing, closed, f"manifest {short(manifest)}")
                except NotApproved as error:
                    return self.asked(closing.request), error.message
                return self.asked(closing.request), ""
        return None, "The record names no approval of this manifest that was there before it."
