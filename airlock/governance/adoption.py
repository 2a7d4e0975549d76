"""Adopting a gate's policy: done on the host by whoever holds the signing key, never through Airflow."""

import msgspec

from airlock.governance.anchor import write_anchor
from airlock.governance.authority import Authority
from airlock.governance.book import Book
from airlock.governance.policy import GateFile
from airlock.stores.ledger import Record


def adopt(guard: Authority, folder: str, gates: GateFile, *, only_new: bool = False) -> list[Record]:
    """Put the policies of a use case in force; those that already are stay as they are.

    :param folder: with the public keys and the anchor.
    :param only_new: leave gates alone that have a policy already.
    """
    with guard.ledger.appending() as appender:
        signer, book = guard.signer, Book.open(guard.ledger, folder)
        adopted = []
        for name, policy in sorted(gates.gates.items()):
            now = book.policy_in_force(gates.use_case, name)
            if now == policy.digest or (now and only_new):
                continue
            body = {"use_case": gates.use_case, "gate": name, "policy": msgspec.to_builtins(policy)}
            adopted.append(appender.append("policy", body, signer))
    if adopted:
        write_anchor(folder, adopted[-1], signer)
    return adopted
