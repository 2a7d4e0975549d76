"""The checks before every act that a gate protects. They fail closed and say which check failed."""

from airlock.governance.book import Book
from airlock.governance.manifest import CandidateManifest, load_any
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.ledger import Ledger, Record

REVISION = "revision"
"""Name of the gate that decides about revisions, in every use case."""


def require_approval(ledger: Ledger, manifest: str, gate: str, folder: str, use_case: str) -> Record:
    """Return the record that closes the approval of exactly this manifest at this gate.

    Verifies chain, signatures and anchor of the whole ledger, that the policy was in force, that the answers satisfy
    it, and that nothing later rejects or voids them.

    :param manifest: digest of what is about to be acted on, recomputed by who acts.
    :param folder: with the public keys and the anchor; no private key is needed.
    :raises NotApproved: says which check failed.
    """
    return Book.open(ledger, folder).approval(use_case, gate, manifest)


def require_standing(
    ledger: Ledger, store: ArtifactStore, manifest: str, gate: str, folder: str, use_case: str
) -> Record:
    """Return the record by which a manifest stands as one that a gate approved.

    A revision takes the place of a candidate only with both: the gate's approval of that candidate, and the
    ``revision`` gate's of exactly this revision. Everything else needs the gate's own approval.

    :param store: with the manifest.
    :param gate: of the original; other parameters as for :func:`require_approval`.
    :return: the newest of the approvals, the revision's own.
    :raises NotApproved: says which check failed, and of which manifest.
    :raises IntegrityError: the manifest, or one that it revises, is missing or altered.
    """
    book = Book.open(ledger, folder)
    found = load_any(store, manifest)
    gates = []
    while isinstance(found, CandidateManifest) and found.revises:
        gates.append((REVISION, manifest))
        manifest = found.revises
        found = load_any(store, manifest)
    gates.append((gate, manifest))
    # The original first: what was never approved says so before what is built on it.
    return [book.approval(use_case, name, digest) for name, digest in reversed(gates)][-1]
