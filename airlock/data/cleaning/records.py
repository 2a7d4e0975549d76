"""The records of cleaning: one line for every sample that was dropped, and for everything that was changed."""

from pathlib import Path
from types import TracebackType

import msgspec

NAMED = 5
DROPPED, CHANGES = "dropped.jsonl", "changes.jsonl"


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """Why a sample was dropped, and by which cleaner."""

    sample_id: str
    source: str
    cleaner: str
    reason: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a cleaner did to a sample.

    :param before: its id before all cleaners; ``after``, after all of them.
    """

    before: str
    after: str
    source: str
    cleaner: str
    what: str


class Records:
    """Both records as JSON Lines, written while samples are cleaned.

    :param folder: where they are written.
    """

    def __init__(self, folder: Path) -> None:
        self.dropped_path = folder / DROPPED
        self.changes_path = folder / CHANGES
        self._dropped = self.dropped_path.open("wb")
        self._changes = self.changes_path.open("wb")
        self.kept = self.dropped = 0
        self.changed: set[str] = set()
        self.by_cleaner: dict[str, int] = {}
        self.first: list[str] = []

    def drop(self, item: Dropped) -> None:
        """Record a sample that was dropped."""
        self.dropped += 1
        self.by_cleaner[item.cleaner] = self.by_cleaner.get(item.cleaner, 0) + 1
        if len(self.first) < NAMED:
            self.first.append(f"{item.source}: {item.reason}")
        self._dropped.write(msgspec.json.encode(item) + b"\n")

    def change(self, item: Change) -> None:
        """Record what was done to a sample."""
        self.changed.add(item.after)
        self._changes.write(msgspec.json.encode(item) + b"\n")

    def __enter__(self) -> "Records":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with self._dropped, self._changes:
            pass
