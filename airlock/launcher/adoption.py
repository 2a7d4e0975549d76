"""At the start of the stack: gates that have no policy yet get the one that lies beside their DAGs."""

from collections.abc import Iterable
from pathlib import Path

from airlock.governance.adoption import adopt
from airlock.governance.anchor import write_anchor
from airlock.governance.authority import Authority
from airlock.governance.book import Book
from airlock.governance.policy import read_gates
from airlock.settings import Settings


def adopt_new(guard: Authority, settings: Settings, folders: Iterable[Path]) -> None:
    """Adopt the policies of gates that have none; a policy in force is changed by ``airlock policy adopt`` only.

    :param folders: with one folder a use case.
    """
    book = Book.open(guard.ledger, settings.public_keys)
    for path in sorted(path for folder in folders for path in folder.glob("*/gates.json")):
        for record in adopt(guard.ledger, guard.signer, book, read_gates(path), only_new=True):
            write_anchor(settings.public_keys, record, guard.signer)
