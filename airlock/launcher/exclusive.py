"""One ``airlock up`` or ``airlock down`` at a time for one home."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from airlock.errors import UserError
from airlock.launcher.layout import Layout


@contextmanager
def exclusive(layout: Layout) -> Iterator[None]:
    """Hold the home's lock; the system drops it when the holder dies.

    :raises UserError: somebody else holds it.
    """
    with (layout.run / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"Another `airlock up` or `airlock down` is at work on {layout.home}.", hint="Wait for it to end."
            ) from error
        yield
