"""Whether everything was cleaned alike."""

from collections.abc import Mapping
from typing import Any

from airlock.data.checks.declaration import SameCleaning
from airlock.data.checks.finding import Finding
from airlock.data.checks.subject import Subject
from airlock.digests import short
from airlock.errors import UserError


def same_cleaning(check: SameCleaning, subject: Subject) -> Finding:
    """Compare the digests of the cleaners' code and parameters.

    :raises UserError: no record of cleaning was given.
    """
    if not subject.cleanings:
        raise UserError(
            "The check same_cleaning needs to know what cleaned the data.",
            hint='Give it: `validate(…, cleaning={"train": cleaned["cleaning"], "test": tested["cleaning"]})`.',
        )
    parts = dict(subject.cleanings)
    differing = _differences(parts)
    told = [f"{name} {short(part['digest'])}" for name, part in parts.items()]
    before = subject.previous.cleaning if subject.previous else None
    if subject.previous and before is None:
        told.append(f"{subject.previous.title} has no record")
    elif subject.previous and before is not None:
        changed = _differences({"this": next(iter(parts.values())), subject.previous.title: before})
        told.append(f"{subject.previous.title} {short(before['digest'])}" + (f", not by {changed}" if changed else ""))
    other = bool(check.previous and subject.previous and (before is None or changed))
    return Finding(
        success=not differing and not other,
        rule="All parts were cleaned by the same code with the same parameters",
        observed=", ".join(told) + (f"; they differ in {differing}" if differing else ""),
        figure=float(len({part["digest"] for part in parts.values()})),
    )


def _differences(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Name the cleaners in which parts differ; empty when all are alike."""
    if len({part["digest"] for part in parts.values()}) == 1:
        return ""
    listed = [[(cleaner["name"], cleaner["digest"]) for cleaner in part["cleaners"]] for part in parts.values()]
    common = set(listed[0]).intersection(*map(set, listed[1:]))
    names = {name for part in listed for name, digest in part if (name, digest) not in common}
    return ", ".join(sorted(names)) or "their order"
