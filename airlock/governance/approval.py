"""The check before every act that a gate protects. It fails closed and says which check failed."""

from airlock.governance.book import Book
from airlock.stores.ledger import Ledger, Record


def require_approval(ledger: Ledger, manifest: str, gate: str, folder: str, use_case: str) -> Record:
    """Return the record that closes the approval of exactly this manifest at this gate.

    Verifies chain, signatures and anchor of the whole ledger, that the policy was in force, that the answers satisfy
    it, and that nothing later rejects or voids them.

    :param manifest: digest of what is about to be acted on, recomputed by who acts.
    :param folder: with the public keys and the anchor; no private key is needed.
    :raises NotApproved: says which check failed.
    """
    return Book.open(ledger, folder).approval(use_case, gate, manifest)
