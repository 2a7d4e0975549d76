"""A file that arrives in several tries: its bytes so far, and a note of which file they are the beginning of."""

import os
from pathlib import Path

import msgspec

from airlock.data.files import written
from airlock.digests import PREFIX, digest_file
from airlock.errors import IntegrityError


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What the bytes are.

    :param location: where they are from.
    :param validator: the ETag or date the server gave; a file with another one is another file.
    :param digest: of the whole file, once it is complete.
    """

    location: str
    validator: str
    digest: str = ""


class Partial:
    """A target and, until it is complete, ``TARGET.part``; beside both ``TARGET.note``.

    :param target: the file.
    :param location: where it comes from; bytes from elsewhere are forgotten.
    """

    def __init__(self, target: Path, location: str) -> None:
        self.target = target
        self.location = location
        self.part = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".note")
        self.note = self._read()

    @property
    def validator(self) -> str:
        return self.note.validator

    @property
    def size(self) -> int:
        """Bytes that can be kept; without a validator nobody can say what they belong to."""
        return self.part.stat().st_size if self.validator and self.part.is_file() else 0

    def complete(self) -> bool:
        """Whether the whole file is there, unaltered."""
        return bool(self.note.digest) and self.target.is_file() and digest_file(self.target) == self.note.digest

    def begin(self, validator: str) -> None:
        """Forget what is there: another file begins."""
        self.forget()
        self._write(Note(location=self.location, validator=validator))

    def finish(self, sha256: str) -> Path:
        """Make the part the target.

        :param sha256: hex digest it must have, empty when none is known.
        :raises IntegrityError: it has another one; nothing is kept, so that the next try begins anew.
        """
        digest = digest_file(self.part)
        if sha256 and digest != PREFIX + sha256.lower():
            self.forget()
            raise IntegrityError(
                f"{self.location} has the sha256 {digest.removeprefix(PREFIX)}, not {sha256} as declared.",
                hint="Fetch it once more; if it stays so, it is not the file that was meant: do not use it.",
            )
        os.replace(self.part, self.target)
        self._write(Note(location=self.location, validator=self.validator, digest=digest))
        return self.target

    def forget(self) -> None:
        """Remove every trace."""
        for path in (self.part, self.target, self._note):
            path.unlink(missing_ok=True)
        self.note = Note(location=self.location, validator="")

    def _read(self) -> Note:
        empty = Note(location=self.location, validator="")
        try:
            note = msgspec.json.decode(self._note.read_bytes(), type=Note)
        except (FileNotFoundError, msgspec.MsgspecError):
            return empty
        return note if note.location == self.location else empty

    def _write(self, note: Note) -> None:
        staged = self._note.with_name(self._note.name + ".new")
        with written(staged):
            staged.write_bytes(msgspec.json.encode(note))
            os.replace(staged, self._note)
        self.note = note
