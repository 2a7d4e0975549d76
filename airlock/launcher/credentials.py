"""Random passwords and keys, made once and readable by their owner only."""

import base64
import os
import secrets
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

from airlock.errors import UserError
from airlock.governance.people import write_people
from airlock.governance.roles import ROLES

Document = TypeVar("Document")

DEMO_USERS = {
    "dana": "data_engineer",
    "lena": "data_labeler",
    "sami": "data_scientist",
    "vera": "model_validator",
    "sofi": "software_engineer",
    "otto": "devops_engineer",
    "admin": "Admin",
}


def _password() -> str:
    return secrets.token_urlsafe(18)


def _fernet() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """What the services share with each other and with nobody else.

    :param airflow: password of the role that owns Airflow's database; likewise ``mlflow`` and ``owner`` (Airlock's).
    :param application: password of the role that steps and operators use on Airlock's database.
    :param guard: password of the role that only the API server uses on it.
    :param jwt: key that Airflow signs its tokens with.
    :param session: key of Airflow's web sessions and served logs.
    :param fernet: key of the connections stored in Airflow's database.
    :param labelling: token of Label Studio's administrator, of which it takes 40 characters; ``labelling_password`` is
        for signing in, ``labelling_hook`` for its webhooks.
    """

    airflow: str = msgspec.field(default_factory=_password)
    mlflow: str = msgspec.field(default_factory=_password)
    owner: str = msgspec.field(default_factory=_password)
    application: str = msgspec.field(default_factory=_password)
    guard: str = msgspec.field(default_factory=_password)
    jwt: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(64))
    session: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(32))
    fernet: str = msgspec.field(default_factory=_fernet)
    labelling: str = msgspec.field(default_factory=lambda: secrets.token_hex(20))
    labelling_password: str = msgspec.field(default_factory=_password)
    labelling_hook: str = msgspec.field(default_factory=_password)


class DemoUser(msgspec.Struct, frozen=True):
    """Somebody who can log in to Airflow.

    :param role: name of the role in Airflow's auth manager.
    """

    username: str
    role: str
    password: str


def load_secrets(path: Path) -> Secrets:
    """Read the secrets; make those that are missing, all of them at the first start, and keep them."""
    known = _read(path, dict[str, str]) or {}
    found = _read(path, Secrets) or Secrets()
    if known.keys() < (kept := known | msgspec.to_builtins(found)).keys():
        write_private(path, kept)
    return found


def load_demo_users(path: Path) -> list[DemoUser]:
    """Read the demo users; make them at the first start."""
    found = _read(path, list[DemoUser])
    if found is None:
        found = [DemoUser(username, role, _password()) for username, role in DEMO_USERS.items()]
        write_private(path, found)
    return found


def write_roster(path: Path, users: list[DemoUser]) -> None:
    """Write down, once, who has which of Airlock's roles: what whoever administers Airflow cannot give away.

    Everybody may read it; after that it is whoever runs the host who changes it.
    """
    if not path.exists():
        write_people(str(path), {user.username: [user.role] for user in users if user.role in ROLES})


def write_private(path: Path, document: object) -> None:
    """Write a JSON document that only its owner can read, whole or not at all."""
    write_private_text(path, msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


def write_private_text(path: Path, text: str) -> None:
    """Write a text file that only its owner can read, whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp gives mode 0600
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(name).replace(path)


def _read(path: Path, kind: type[Document]) -> Document | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise UserError(
            f"{path} cannot be read: {error}.",
            hint="Restore it, or run `airlock down` and remove the state folder to start afresh.",
        ) from error
