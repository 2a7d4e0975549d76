"""Who may sign: the process that holds the private key and the guard's database role. That is the API server."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from airlock.errors import NotApproved
from airlock.governance.signing import Signer, current_signer, load_signer, retired_keys
from airlock.settings import settings
from airlock.stores.database import Database, open_database
from airlock.stores.ledger import Ledger

KEY = "AIRLOCK_SIGNING_KEY"
KEY_FILE = "AIRLOCK_SIGNING_KEY_FILE"
DATABASE = "AIRLOCK_GUARD_DATABASE"
SECRET = (KEY, KEY_FILE, DATABASE)
"""Variables that nobody but the API server is given."""


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """What signing takes.

    :param database: Airlock's database as the guard's role.
    :param key: the private key itself, PEM; empty when it is in a file.
    :param key_file: file with it.
    """

    database: Database
    key: str = ""
    key_file: str = ""

    @property
    def signer(self) -> Signer:
        """The key in use at this moment: `airlock key rotate` needs no restart.

        :raises NotApproved: it was retired.
        """
        retired = retired_keys(settings().public_keys)
        signer = load_signer(self.key) if self.key else current_signer(Path(self.key_file), retired)
        if signer.key_id in retired:
            raise NotApproved(f"The signing key {signer.key_id} was retired.", hint=f"Give {KEY} the new one.")
        return signer

    @property
    def ledger(self) -> Ledger:
        """The ledger, which takes signed records from here."""
        return Ledger(self.database)


def authority(environ: Mapping[str, str] | None = None) -> Authority:
    """Return this process's authority.

    :raises NotApproved: it has none; names what is missing.
    """
    source = os.environ if environ is None else environ
    if not (source.get(KEY) or source.get(KEY_FILE)):
        raise NotApproved("This process has no signing key.", hint=f"Give {KEY_FILE} to the API server only.")
    if not source.get(DATABASE):
        raise NotApproved("This process is not the guard.", hint=f"Give {DATABASE} to the API server only.")
    found = Authority(
        database=open_database(source[DATABASE]), key=source.get(KEY, ""), key_file=source.get(KEY_FILE, "")
    )
    _ = found.signer  # a key that cannot be read is said now
    return found
