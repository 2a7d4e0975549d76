"""Verify an export of Airlock's ledger without Airlock: python verify_export.py ledger.jsonl [keys.json]."""

import hashlib
import json
import sys
from base64 import b64decode
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def verify(key: Any, signature: str, data: str, seq: int) -> None:
    if seq > key.get("last", seq):
        raise ValueError("signed with a key that was retired before")
    Ed25519PublicKey.from_public_bytes(b64decode(key["key"])).verify(b64decode(signature), data.encode())


def main(path: str, trusted: str = "") -> str:
    (header, *rows), seq, name = map(json.loads, open(path, encoding="utf-8")), 0, ""  # noqa: SIM115
    # The keys you trust, from `airlock key list --json`; without them those of the export are believed, and named.
    keys, anchor = json.load(open(trusted)) if trusted else header["keys"], header["anchor"]  # noqa: SIM115
    try:
        for seq, row in enumerate(rows, 1):
            record, previous, signed = json.loads(row["record"]), name, row["signature"]
            name = "sha256:" + hashlib.sha256(row["record"].encode()).hexdigest()
            if (record["seq"], record["previous"], row["hash"]) != (seq, previous, name):
                raise ValueError("altered, or not in its place")
            if signed or record["kind"] not in ("request", "promotion", "deployment", "rollout", "rollback", "kept"):
                verify(keys[record["key_id"]], signed, name, seq)
        if anchor and anchor["hash"] not in [row["hash"] for row in rows[anchor["seq"] - 1 : anchor["seq"]]]:
            raise ValueError(f"the end is missing or another: record {anchor['seq']} was signed")
        verify(keys[anchor["key_id"]], anchor["signature"], f"{anchor['seq']} {anchor['hash']}", 0) if anchor else 0
    except (InvalidSignature, KeyError, TypeError, ValueError) as error:
        sys.exit(f"record {seq}: {error!r}")
    return f"ok: {seq} records" + ("" if trusted else f", keys as in the file: {' '.join(keys)}")


if __name__ == "__main__":
    print(main(*sys.argv[1:]))  # noqa: T201
