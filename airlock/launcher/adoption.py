"""Whoever runs the host adopts policies: at the start of the stack, and with ``airlock policy adopt``."""

import os
from collections.abc import Iterable
from pathlib import Path

from airlock.errors import NotApproved
from airlock.governance.adoption import adopt
from airlock.governance.authority import DATABASE, KEY, KEY_FILE, Authority, authority
from airlock.governance.policy import read_gates
from airlock.launcher.credentials import load_secrets
from airlock.launcher.databases import GUARD
from airlock.launcher.layout import Layout
from airlock.settings import Settings


def adopt_new(guard: Authority, settings: Settings, folders: Iterable[Path]) -> None:
    """Adopt the policies of gates that have none; a policy in force is changed by ``airlock policy adopt`` only.

    :param folders: with one folder a use case.
    """
    for path in sorted(path for folder in folders for path in folder.glob("*/gates.json")):
        adopt(guard, settings.public_keys, read_gates(path), only_new=True)


def host_authority(settings: Settings) -> Authority:
    """Return the authority of whoever runs the host: from the environment, else what the embedded stack keeps.

    :raises NotApproved: there is neither, or this user may not read it.
    """
    if os.environ.get(KEY) or os.environ.get(KEY_FILE) or os.environ.get(DATABASE):
        return authority()
    layout = Layout(Path(settings.home))
    private = layout.keys / "private"
    if not (os.access(layout.secrets, os.R_OK) and os.access(private, os.R_OK | os.X_OK) and settings.database):
        raise NotApproved(
            f"Only whoever runs the host may do this: there is no signing key for you in {layout.home}.",
            hint=f"Run it on the host of the API server, with AIRLOCK_HOME or with {KEY_FILE} and {DATABASE}.",
        )
    return authority({KEY_FILE: str(private / "newest.pem"), DATABASE: _as_guard(settings.database, layout.secrets)})


def _as_guard(database: str, secrets: Path) -> str:
    from psycopg2.extensions import make_dsn

    return make_dsn(database, user=GUARD, password=load_secrets(secrets).guard)
