"""Verifies a release's approval where there is no ledger: in a pod, on an edge device.

The proof is an export of the ledger (``airlock ledger export``) that is shipped beside the release. It is verified as
the ledger itself is: chain, signatures by keys that the machine's own folder holds, policy and count.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec

from airlock.errors import NotApproved, SourceError
from airlock.governance.book import Book
from airlock.stores.ledger import Ledger, Record, record_from

GATE = "release"


class Exported:
    """Reads the records of an export, as :class:`~airlock.stores.ledger.Ledger` reads those of a database.

    :raises SourceError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._lines = path.read_bytes().splitlines()
        except OSError as error:
            raise SourceError(
                f"The decision {path} cannot be read: {error.strerror}.", hint="Give --decision FILE."
            ) from error

    def read(self, after: int = 0) -> Iterator[Record]:
        """Yield every record behind a position."""
        for seq, line in enumerate(self._lines[1:], 1):
            if seq > after:
                yield record_from({"seq": seq, **msgspec.json.decode(line, type=dict[str, str])})


def require_proof(decision: Path, keys: Path, use_case: str, manifest: str) -> None:
    """Fail unless an export proves that exactly this release was approved.

    :param keys: folder with the public keys that are trusted here, and the anchor where there is one.
    :raises NotApproved: says which check failed.
    """
    if not any(keys.glob("*.pem")):
        raise NotApproved(f"There is no public key in {keys}.", hint="Give --keys DIR with those you trust.")
    exported = Exported(decision)
    try:
        book = Book.open(cast("Ledger", exported), str(keys))
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise NotApproved(
            f"{decision} is no export of a ledger: {error}.", hint="Make it with `airlock ledger export`."
        ) from error
    book.approval(use_case, GATE, manifest)
