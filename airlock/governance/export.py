"""The ledger as JSON Lines, with everything needed to verify it offline by ``verify_export.py``."""

import json
from collections.abc import Iterator

import msgspec

from airlock.governance.anchor import read_anchor
from airlock.governance.rotation import trusted_keys
from airlock.governance.signing import public_keys
from airlock.stores.ledger import Ledger

VERSION = 1


def export(ledger: Ledger, folder: str) -> Iterator[str]:
    """Give the lines: a header with public keys and anchor, then every record as it is stored, nothing verified.

    :param folder: with the public keys and the anchor.
    """
    anchor = read_anchor(folder, public_keys(folder))
    header = {
        "airlock_ledger": VERSION,
        "keys": trusted_keys(folder),
        "anchor": msgspec.to_builtins(anchor),
    }
    yield _line(header)
    for record in ledger.read():
        yield _line({"record": record.text, "hash": record.hash, "signature": record.signature})


def _line(document: object) -> str:
    return json.dumps(document, ensure_ascii=False) + "\n"
