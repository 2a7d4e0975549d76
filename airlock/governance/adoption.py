"""Adopting a gate's policy: done on the host by whoever holds the signing key, never through Airflow."""

import msgspec

from airlock.governance.book import Book
from airlock.governance.policy import GateFile
from airlock.governance.signing import Signer
from airlock.stores.ledger import Ledger, Record


def adopt(ledger: Ledger, signer: Signer, book: Book, gates: GateFile, *, only_new: bool = False) -> list[Record]:
    """Put the policies of a use case in force; those that already are stay as they are.

    :param book: the ledger, read.
    :param only_new: leave gates alone that have a policy already.
    """
    adopted = []
    for name, policy in sorted(gates.gates.items()):
        now = book.policy_in_force(gates.use_case, name)
        if now == policy.digest or (now and only_new):
            continue
        body = {"use_case": gates.use_case, "gate": name, "policy": msgspec.to_builtins(policy)}
        adopted.append(ledger.append("policy", body, signer))
    return adopted
