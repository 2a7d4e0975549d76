"""Expectation suites as Great Expectations writes them to JSON, read without importing it."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from airlock.errors import UserError

SOURCE = "Write it as `suite.to_json_dict()` of Great Expectations does."


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """One expectation.

    :param type: for example ``expect_column_values_to_be_in_set``.
    :param kwargs: its arguments; all of them, class defaults are not part of the JSON.
    :param severity: shown to people; any unsuccessful expectation rejects the data.
    """

    type: str
    kwargs: dict[str, Any]
    meta: dict[str, Any] | None = None
    severity: Literal["info", "warning", "critical"] = "critical"

    @property
    def columns(self) -> list[str]:
        """The columns it looks at."""
        single = [self.kwargs[name] for name in ("column", "column_A", "column_B") if name in self.kwargs]
        return single + list(self.kwargs.get("column_list", []))

    @property
    def description(self) -> str:
        """What people read: the note of whoever wrote it, else its type and arguments."""
        if notes := (self.meta or {}).get("notes"):
            return str(notes)
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.kwargs.items())
        return f"{self.type}({arguments})"


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """A named list of expectations."""

    name: str
    expectations: tuple[Expectation, ...]


def decode_suite(data: bytes) -> Suite:
    """Parse a suite.

    :raises UserError: it is not one, or it expects nothing: that would let everything pass.
    """
    try:
        suite = msgspec.json.decode(data, type=Suite)
    except msgspec.MsgspecError as error:
        raise UserError(f"The expectations are not a suite: {error}.", hint=SOURCE) from error
    if not suite.expectations:
        raise UserError(f"The suite {suite.name!r} expects nothing, so it would let everything pass.", hint=SOURCE)
    return suite


def check_columns(suite: Suite, columns: Iterable[str]) -> None:
    """Check that every column an expectation names is there.

    :raises UserError: one is not: the expectation is wrong, not the data.
    """
    known = list(columns)
    for expectation in suite.expectations:
        for column in expectation.columns:
            if column not in known:
                raise UserError(
                    f"{expectation.type} of suite {suite.name!r} looks at the column {column!r}, which does not exist.",
                    hint=f"The columns are {', '.join(known)}.",
                )
