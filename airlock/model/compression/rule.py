"""Which of the ways to compress is picked: plain data, checked while a DAG is parsed.

It looks at the validation samples. The test samples are for what is reported of the one that was picked: whoever picks
the best of several by test accuracy has none left that says how good it is.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import replace

from airlock.errors import UserError
from airlock.governance.evaluations import Lost, Row

Points = Annotated[float, msgspec.Meta(ge=-100, le=100)]
WANTED = {"smallest": "bytes", "smallest_gzip": "gzip_bytes", "fastest": "p50_ms"}


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Picks among those that lose little enough.

    :param pick: the one with the smallest file, the smallest packed file, or the lowest median time.
    :param max_points_lost: percentage points of validation accuracy that it may lose against the original; one sample
        it may lose in any case, likewise on a slice, unless it has to gain some.
    :param max_slice_points_lost: that any slice may lose; unset to leave slices to the people at the gate.
    :param min_slice_count: a slice with fewer validation samples is shown and not judged: one sample would decide.
    """

    pick: Literal["smallest", "smallest_gzip", "fastest"] = "smallest"
    max_points_lost: Points = 0.5
    max_slice_points_lost: Points | None = None
    min_slice_count: Annotated[int, msgspec.Meta(ge=1)] = 50

    def __str__(self) -> str:
        told = f"the {self.pick.replace('_', ' ')} that loses at most {self.max_points_lost:g} points"
        if self.max_slice_points_lost is None:
            return told
        return (
            f"{told}, and at most {self.max_slice_points_lost:g} on any slice of {self.min_slice_count} samples or more"
        )


def decode_rule(declared: Mapping[str, Any]) -> Rule:
    """Read a use case's rule.

    :raises UserError: it is not valid.
    """
    try:
        return msgspec.convert(declared, Rule)
    except msgspec.ValidationError as error:
        raise UserError(
            f"The rule of the compression is not valid: {error}.",
            hint='A rule is {"pick": "smallest", "max_points_lost": 0.5, "max_slice_points_lost": 1.0}.',
        ) from error


def judged(row: Row, rule: Rule) -> Row:
    """Return a row with what the rule holds against it."""
    if row.measured is None:
        return row
    whole, *slices = row.validation
    misses = _miss(whole, rule.max_points_lost)
    if rule.max_slice_points_lost is not None:
        for each in slices:
            if each.count >= rule.min_slice_count:
                misses += _miss(each, rule.max_slice_points_lost)
    return replace(row, misses=misses)


def best(rows: Sequence[Row], rule: Rule) -> Row | None:
    """Return the row that the rule picks; ``None`` when every one failed or loses too much.

    :param rows: judged, the original not among them.
    """
    possible = [row for row in rows if row.measured and not row.misses]
    return min(possible, key=lambda row: (getattr(row.measured, WANTED[rule.pick]), row.method), default=None)


def none_passes(rows: Sequence[Row], rule: Rule) -> UserError:
    """Return the error that says of every row why it was not picked."""
    told = "; ".join(f"{row.method} {f'failed: {row.failed}' if row.failed else ', '.join(row.misses)}" for row in rows)
    return UserError(
        f"No method passes the rule, which picks {rule}: {told}.",
        hint="Loosen the rule, or declare other methods: docs/compression.md says what each can do.",
    )


def marked(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with those marked that no other one beats in both size and test accuracy."""

    def beaten(row: Row) -> bool:
        return any(_beats(other, row) for other in rows)

    return [replace(row, frontier=row.measured is not None and not beaten(row)) for row in rows]


def _beats(one: Row, other: Row) -> bool:
    if one.measured is None or other.measured is None:
        return False
    a, b = ((each.measured.bytes, -each.measured.accuracy) for each in (one, other) if each.measured)
    return a != b and a[0] <= b[0] and a[1] <= b[1]


def _miss(lost: Lost, allowed: float) -> list[str]:
    one_sample = 100 / lost.count + 1e-6  # is no evidence, on however few of them the points are counted
    if lost.points_lost <= (max(allowed, one_sample) if allowed >= 0 else allowed):
        return []
    return [f"loses {lost.points_lost:.2f} points on {lost.slice} ({lost.count} validation samples)"]
