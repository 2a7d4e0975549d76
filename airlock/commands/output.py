"""What the commands print with, and how people write and read times."""

from datetime import datetime

from rich.console import Console

from airlock.errors import UserError

console = Console(highlight=False)
plain = Console(highlight=False, soft_wrap=True, markup=False)
"""For what may hold anything, brackets and long lines included."""


def when(seconds: float) -> str:
    """A time for people: local, to the second, with its zone."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def seconds_of(text: str) -> float:
    """Read an ISO time; without a zone it is local.

    :raises UserError: it is none.
    """
    try:
        return datetime.fromisoformat(text.strip()).astimezone().timestamp()
    except (ValueError, OverflowError) as error:
        raise UserError(
            f"{text!r} is no time.", hint="Write it like 2026-03-01, 2026-03-01T14:30 or 2026-03-01T14:30+01:00."
        ) from error
