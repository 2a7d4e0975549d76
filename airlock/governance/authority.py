"""Who may sign: the process that holds the private key and the guard's database role. That is the API server."""

import os
from collections.abc import Mapping

import msgspec

from airlock.errors import NotApproved
from airlock.governance.signing import Signer, load_signer
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
    """

    signer: Signer
    database: Database

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
    return Authority(
        signer=load_signer(source.get(KEY, ""), source.get(KEY_FILE, "")), database=open_database(source[DATABASE])
    )
