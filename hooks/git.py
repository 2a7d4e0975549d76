"""The code repository: which commit, and which uncommitted changes, a use case's code comes from."""

import subprocess
from pathlib import Path

from airlock.digests import digest_bytes, digest_file


class GitHook:
    """Describes the repository that holds a file. Needs the ``git`` command; without it the answer is empty.

    :param path: any file of the repository.
    """

    def __init__(self, path: str) -> None:
        self.folder = Path(path).resolve().parent

    def describe(self) -> dict[str, str]:
        """Return ``commit`` (sha) and ``dirty`` (digest of what differs or is not in it, empty when clean)."""
        commit = self._git("rev-parse", "HEAD")
        if not commit:
            return {"commit": "", "dirty": ""}
        difference = self.difference()
        return {"commit": commit.decode().strip(), "dirty": digest_bytes(difference) if difference else ""}

    def difference(self) -> bytes:
        """Return what is not committed, as a diff, and the digests of files that are not in the repository."""
        return self._git("diff", "--no-ext-diff", "HEAD", "--", ".") + self._untracked()

    def _untracked(self) -> bytes:
        listing = self._git("ls-files", "--others", "--exclude-standard", "--exclude=__pycache__/", "-z")
        names = sorted(listing.decode(errors="surrogateescape").split("\0"))
        files = [name for name in names if (self.folder / name).is_file()]  # not a repository inside, not a dead link
        lines = [f"{digest_file(self.folder / name)} {name}\n" for name in files]
        return "".join(lines).encode(errors="surrogateescape")

    def _git(self, *arguments: str) -> bytes:
        command = ["git", "-C", str(self.folder), *arguments]
        try:
            answer = subprocess.run(command, capture_output=True, check=False, timeout=30)
        except FileNotFoundError:
            return b""
        return answer.stdout if answer.returncode == 0 else b""
