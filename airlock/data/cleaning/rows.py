"""Cleaners of table rows: samples whose content is one JSON object."""

import json
import math
from typing import Any

from airlock.data.cleaning.cleaner import Cleaned, cleaner
from airlock.digests import canonical
from airlock.errors import DataRejected, SourceError

NOT_FINITE = {"nan", "+nan", "-nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"}


@cleaner()
def not_null(content: bytes, *, columns: tuple[str, ...]) -> bytes:
    """Drop rows in which one of the columns is missing, null or an empty text.

    :param columns: their names.
    """
    row = _row(content)
    empty = [name for name in columns if row.get(name) in (None, "")]
    if empty:
        raise DataRejected(f"its column {', '.join(empty)} is null")
    return content


@cleaner()
def fill_null(content: bytes, *, values: dict[str, str | int | float | bool]) -> Cleaned:
    """Put a value where a column is missing or null.

    :param values: value by column.
    """
    row = _row(content)
    filled = {name: value for name, value in values.items() if row.get(name) is None}
    if not filled:
        return Cleaned(content)
    return Cleaned(canonical(row | filled), tuple(f"null {name} set to {value!r}" for name, value in filled.items()))


@cleaner()
def finite_numbers(content: bytes, *, columns: tuple[str, ...] = ()) -> bytes:
    """Drop rows that hold NaN or an infinity, as a number or spelled out.

    :param columns: only these; by default every number, and no text.
    """
    row = _row(content)
    for name in columns or row:
        if _not_finite(row.get(name), spelled=bool(columns)):
            raise DataRejected(f"its column {name} is {row[name]}, not a finite number")
    return content


def _not_finite(value: Any, *, spelled: bool) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, list):
        return any(_not_finite(item, spelled=spelled) for item in value)
    return spelled and isinstance(value, str) and value.strip().lower() in NOT_FINITE


def _row(content: bytes) -> dict[str, Any]:
    try:
        row = json.loads(content)
    except ValueError as error:  # bad JSON and bad UTF-8 alike
        raise SourceError(f"it is no JSON object ({error})") from error
    if not isinstance(row, dict):
        raise SourceError(f"it is no JSON object but a {type(row).__name__}")
    return row
