"""Shows what a service wrote."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from airlock.errors import UserError
from airlock.launcher.layout import Layout

POLL = 0.5


def logs(home: Path, service: str, lines: int = 50, *, follow: bool = False) -> Iterator[str]:
    """Yield the end of a service's log, line by line; with ``follow`` go on for ever as it grows.

    :raises UserError: there is no such log; the message lists those there are.
    """
    folder = Layout(home.expanduser().absolute()).logs
    path = folder / f"{service}.log"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in folder.glob("*.log"))) or "none yet: run `airlock up`"
        raise UserError(f"There is no log of {service!r} in {folder}.", hint=f"Logs: {known}.")
    return _lines(path, lines, follow=follow)


def print_log(home: Path, service: str, *, lines: int, follow: bool, console: Console) -> None:
    """Show the end of a service's log; Ctrl-C ends following."""
    with suppress(KeyboardInterrupt):
        for line in logs(home, service, lines, follow=follow):
            console.out(line, highlight=False)


def _lines(path: Path, lines: int, *, follow: bool) -> Iterator[str]:
    with path.open(errors="replace") as file:
        yield from (line.rstrip("\n") for line in deque(file, maxlen=lines))
        while follow:
            if line := file.readline():
                yield line.rstrip("\n")
            else:
                time.sleep(POLL)
