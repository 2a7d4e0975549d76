"""A server that sends, but too slowly to ever finish, is as good as one that does not answer."""

import time

from airlock.errors import InfrastructureError


class Pace:
    """Watches how fast bytes arrive.

    :param least: fewest bytes a second, taken over each window.
    :param window: seconds.
    """

    def __init__(self, least: int = 1024, window: float = 30.0) -> None:
        self.least = least
        self.window = window
        self._since = time.monotonic()
        self._mark = 0

    def check(self, what: str, done: int) -> None:
        """Take note of how many bytes have arrived.

        :raises InfrastructureError: fewer than ``least`` a second over a whole window.
        """
        elapsed = time.monotonic() - self._since
        if elapsed < self.window:
            return
        arrived = done - self._mark
        if arrived < self.least * elapsed:
            raise InfrastructureError(
                f"{what} sent {arrived:,} bytes in {elapsed:.0f} s, below {self.least:,} bytes a second.",
                hint="Check the server and the network; run again, the download goes on where it stopped.",
            )
        self._since, self._mark = time.monotonic(), done
