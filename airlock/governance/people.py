"""Who can sign in with which roles, as the API server last wrote it down, so that parsing a DAG needs no database."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from airlock.errors import UserError
from airlock.governance.policy import GatePolicy, check_satisfiable

People = Mapping[str, Sequence[str]]


def read_people(path: str) -> People | None:
    """Return name to roles; ``None`` when nobody wrote it down."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=dict[str, list[str]]) if path else None
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def write_people(path: str, people: People) -> None:
    """Write name to roles, whole or not at all, if it changed."""
    data = msgspec.json.encode(dict(people), order="sorted")
    target = Path(path)
    if target.is_file() and target.read_bytes() == data:
        return
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".people-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(name).chmod(0o644)
    Path(name).replace(target)


def check_people(policy: GatePolicy, gate: str, path: str) -> None:
    """Make sure that people who can sign in now could satisfy a policy; nothing is known where nobody wrote it down.

    :raises UserError: names the gate and the stage.
    """
    people = read_people(path)
    if people is None:
        return
    try:
        check_satisfiable(policy, people)
    except UserError as error:
        raise UserError(f"{gate[0].upper()}{gate[1:]}: {error.message}", hint=error.hint) from error
