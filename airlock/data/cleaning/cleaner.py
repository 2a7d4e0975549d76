"""What a cleaner is: a pure function of a sample's bytes and declared parameters.

It returns bytes, or :class:`Cleaned` when it has something to add. It drops a sample by raising
:class:`~airlock.errors.SourceError` or :class:`~airlock.errors.DataRejected` with the reason; anything else it raises
is a mistake in the cleaner and fails the step.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import msgspec

Measure = Literal["int32", "int64", "double", "string"]
Function = TypeVar("Function", bound=Callable[..., "bytes | Cleaned"])


class Cleaned(msgspec.Struct, frozen=True):
    """A sample that stays.

    :param content: its bytes, the same object when nothing was changed.
    :param changes: what was done, for people; the bytes differ exactly when there is one.
    :param measures: what the cleaner got to know, by column name.
    """

    content: bytes
    changes: tuple[str, ...] = ()
    measures: Mapping[str, Any] = {}


def cleaner(*, measures: Mapping[str, Measure] = {}, libraries: tuple[str, ...] = ()) -> Callable[[Function], Function]:
    """Declare what a cleaner adds and depends on.

    :param measures: columns that it adds, and their Arrow types.
    :param libraries: distributions whose versions are part of its digest.
    """

    def mark(function: Function) -> Function:
        function.measures = dict(measures)  # type: ignore[attr-defined]
        function.libraries = libraries  # type: ignore[attr-defined]
        return function

    return mark
