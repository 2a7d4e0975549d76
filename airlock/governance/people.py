"""Who can sign in with which roles, as the API server last wrote it down, so that parsing a DAG needs no database."""

import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from airlock.errors import UserError
from airlock.governance.policy import GatePolicy, Stage

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


def check_satisfiable(policy: GatePolicy, people: Mapping[str, Collection[str]]) -> None:
    """Make sure that there are enough different people for every stage.

    :param people: name to roles of everybody who can sign in.
    :raises UserError: names the stage that nobody, or not enough people, could satisfy.
    """
    taken: dict[str, int] = {}
    seats = [(number, stage) for number, stage in enumerate(policy.stages) for _ in range(stage.quorum)]
    for seat, (number, stage) in enumerate(seats):
        if not _seat(seat, seats, people, taken, set()):
            having = sorted(name for name in people if set(people[name]) & set(stage.roles))
            raise UserError(
                f"Nobody could satisfy stage {number + 1}, {stage.words}: "
                f"{', '.join(having) or 'nobody'} can sign in with such a role, and nobody counts twice.",
                hint="Lower the quorum, or give the role to more people.",
            )


def _seat(
    seat: int,
    seats: list[tuple[int, Stage]],
    people: Mapping[str, Collection[str]],
    taken: dict[str, int],
    tried: set[str],
) -> bool:
    """Give a seat to somebody, moving others to other seats where they fit (Kuhn's augmenting paths)."""
    for name in people:
        if name in tried or not set(people[name]) & set(seats[seat][1].roles):
            continue
        tried.add(name)
        if name not in taken or _seat(taken[name], seats, people, taken, tried):
            taken[name] = seat
            return True
    return False
